"""Plan a media budget against several KPIs under stated trade-offs, with a proof of how good the plan is.

Heavy libraries (cvxpy, numba, xarray, altair) load where they are first used, so that importing this package
stays quick.
"""

from .errors import DataError, InfeasibleError, OptimizerError, SolverError, SpecError
from .explain import Explanation, ImpliedTradeoff, explain, implied_tradeoff
from .front import Front
from .plan import Certificate, Plan
from .response import ResponseModel
from .scenario import Scenario
from .simulate import simulate
from .solve.routes import frontier, solve

__all__ = [
    "Certificate",
    "DataError",
    "Explanation",
    "Front",
    "ImpliedTradeoff",
    "InfeasibleError",
    "OptimizerError",
    "Plan",
    "ResponseModel",
    "Scenario",
    "SolverError",
    "SpecError",
    "explain",
    "frontier",
    "implied_tradeoff",
    "simulate",
    "solve",
]
