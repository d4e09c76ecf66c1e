"""Where a ResponseModel comes from."""
