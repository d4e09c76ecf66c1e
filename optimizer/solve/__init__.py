"""How a plan is found: interchangeable routes, one algorithm a file; `routes` picks among them."""
