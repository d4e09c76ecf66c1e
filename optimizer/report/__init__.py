"""What people read: terminal tables, charts, the HTML report and result files. Only `cli` imports it.

Everything shown is taken from ``Plan.to_dict`` and ``Front.to_dict``, so that the terminal, the report and the
JSON cannot disagree; numbers are rounded for display only.
"""
