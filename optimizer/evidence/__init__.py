"""Where a ResponseModel comes from.

A history (`fit`, checked by `checks`), a fitted model of another library (`meridian`, `pymc_marketing`, `robyn`),
an ad platform's budget simulator (`points`); `combine` puts models of different KPIs together.
"""
