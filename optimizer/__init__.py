"""Plan a media budget against several KPIs under stated trade-offs, with a proof of how good the plan is.

Heavy libraries (cvxpy, numba, xarray, altair) load where they are first used, so that importing this package
stays quick.
"""

from .batch import Reallocation, reallocate
from .budget import BudgetCurve, budget_curve, budget_for
from .compare import Comparison, compare
from .errors import DataError, InfeasibleError, OptimizerError, SolverError, SpecError
from .explain import Explanation, ImpliedTradeoff, explain, implied_tradeoff
from .front import Front
from .functions import KpiFunction
from .lint import Finding, lint
from .next_test import NextTest, what_to_test
from .plan import Certificate, Plan
from .reach import Reach, reachability
from .recommend import Recommendation, recommend
from .response import ResponseModel
from .scenario import Scenario
from .simulate import simulate
from .solve.evolution import Evolution
from .solve.routes import frontier, solve

__all__ = [
    "BudgetCurve",
    "Certificate",
    "Comparison",
    "DataError",
    "Evolution",
    "Explanation",
    "Finding",
    "Front",
    "ImpliedTradeoff",
    "InfeasibleError",
    "KpiFunction",
    "NextTest",
    "OptimizerError",
    "Plan",
    "Reach",
    "Reallocation",
    "Recommendation",
    "ResponseModel",
    "Scenario",
    "SolverError",
    "SpecError",
    "budget_curve",
    "budget_for",
    "compare",
    "explain",
    "frontier",
    "implied_tradeoff",
    "lint",
    "reachability",
    "reallocate",
    "recommend",
    "simulate",
    "solve",
    "what_to_test",
]
