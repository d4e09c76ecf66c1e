"""Is the KPI the right one? Audits of the KPI itself: proxy, alignment, qualified leads, segments, drift."""
