"""The problems that evolution is measured on, and its rivals on them: plain pymoo, DESDEO and BoTorch."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

import optimizer as opt
from optimizer.volumes import dominated_volume

BUDGET = 1000.0
POPULATION, EVALUATIONS = 60, 6000
LENGTH = 6
# For BoTorch: plans a time, plans at most and seconds at most.
BATCH, DEAR, LONGEST = 5, 100, 70.0
Floats = np.ndarray
# Evaluations, seconds and hypervolume so far.
Trace = list[tuple[int, float, float]]
Rival = Callable[..., Trace]


class World:
    """A random problem: its scenario, and the same in plain NumPy for one plan at a time.

    Hill curves of normalised geometric carry-over, every line giving to the next.
    """

    def __init__(self, lines: int, periods: int, kpis: int, seed: int, *, rules: bool = False, free: bool = False):
        rng = np.random.default_rng(seed)
        self.shape, self.free = (lines, periods), free
        size = (kpis, lines)
        self.scale = rng.uniform(1, 10, size)
        self.half = BUDGET / periods * rng.uniform(0.05, 0.4, size)
        self.slope = rng.uniform(0.7, 2.5, size)
        self.rate = rng.uniform(0.1, 0.7, size)
        self.gain = np.zeros(size) if free else rng.uniform(-0.3, 0.8, size)
        lags = self.rate[:, :, None] ** np.arange(LENGTH)
        self.weights = lags / lags.sum(axis=2, keepdims=True)
        self.genes = lines * (periods if free else 1)
        self.names = [f"line{i}" for i in range(lines)]
        self.kpis = [f"kpi{k}" for k in range(kpis)]
        self.groups = []
        if rules:
            self.groups = [rng.choice(lines, lines // 2, replace=False).tolist() for _ in range(8)]
        self.caps = [float(rng.uniform(0.35, 0.6) * BUDGET) for _ in self.groups]
        self.best = periods * self.scale.sum(axis=1) / 2
        self.scenario = opt.Scenario.from_dict(self._data())

    def _data(self) -> dict[str, Any]:
        lines, periods = self.shape
        response: dict[str, Any] = {
            kpi: {
                line: {
                    "curve": {
                        "kind": "hill",
                        "scale": float(self.scale[k, i]),
                        "half": float(self.half[k, i]),
                        "slope": float(self.slope[k, i]),
                    },
                    "adstock": {"kind": "geometric", "rate": float(self.rate[k, i]), "length": LENGTH},
                }
                for i, line in enumerate(self.names)
            }
            for k, kpi in enumerate(self.kpis)
        }
        if not self.free:
            response["synergy"] = {
                kpi: {self.names[i]: {self.names[(i + 1) % lines]: float(self.gain[k, i])} for i in range(lines)}
                for k, kpi in enumerate(self.kpis)
            }
        groups = [
            {"select": {"line": [self.names[i] for i in members]}, "max": cap, "name": f"rule {j}"}
            for j, (members, cap) in enumerate(zip(self.groups, self.caps, strict=True))
        ]
        return {
            "name": "benchmark",
            "currency": "EUR",
            "horizon": {"start": "2026-01-05", "periods": periods},
            "flighting": "free" if self.free else "flat",
            "lines": [{"name": line, "current": BUDGET / lines, "max": BUDGET} for line in self.names],
            "kpis": {kpi: {"direction": "maximize", "unit": "things"} for kpi in self.kpis},
            "response": response,
            "constraints": {"budget": {"max": BUDGET}, "groups": groups},
            "preferences": {
                "weights": dict.fromkeys(self.kpis, 1.0),
                "scale": {kpi: [0.0, float(best)] for kpi, best in zip(self.kpis, self.best, strict=True)},
            },
        }

    def score(self, genes: Floats) -> Floats:
        """KPIs of one plan on the scale: (K,)."""
        lines, periods = self.shape
        media = (
            genes.reshape(lines, periods) if self.free else np.repeat(genes[:, None] / periods, periods, axis=1)
        )
        stock = np.zeros((len(self.scale), lines, periods))
        for lag in range(min(LENGTH, periods)):
            stock[:, :, lag:] += self.weights[:, :, lag : lag + 1] * media[None, :, : periods - lag]
        power = (stock / self.half[:, :, None]) ** self.slope[:, :, None]
        share = power / (1.0 + power)
        effect = self.scale[:, :, None] * share * (1.0 + self.gain[:, :, None] * np.roll(share, -1, axis=1))
        return effect.sum(axis=(1, 2)) / self.best

    def room(self, genes: Floats) -> Floats:
        """Room under the budget and the groups' caps, as shares of the budget."""
        totals = genes.reshape(self.shape).sum(axis=1) if self.free else genes
        return (
            np.array(
                [BUDGET - totals.sum()]
                + [cap - totals[members].sum() for members, cap in zip(self.groups, self.caps, strict=True)]
            )
            / BUDGET
        )


WORLDS = {
    "synergy, 2 KPIs, 10 lines x 26 weeks": lambda: World(10, 26, 2, 1),
    "synergy, 3 KPIs, 16 lines x 52 weeks": lambda: World(16, 52, 3, 2),
    "synergy, 2 KPIs, 12 lines x 52 weeks, 9 coupled rows": lambda: World(12, 52, 2, 3, rules=True),
    "free flighting, 2 KPIs, 4 lines x 13 weeks": lambda: World(4, 13, 2, 4, free=True),
    "synergy, 4 KPIs, 12 lines x 26 weeks": lambda: World(12, 26, 4, 5),
}


def pymoo(world: World, seed: int, evaluations: int = EVALUATIONS) -> Trace:
    """Plain pymoo: (evaluations, seconds, hypervolume) by generation."""
    from pymoo.algorithms.moo.age2 import AGEMOEA2
    from pymoo.algorithms.moo.sms import SMSEMOA
    from pymoo.core.callback import Callback
    from pymoo.core.problem import ElementwiseProblem
    from pymoo.optimize import minimize

    class Plans(ElementwiseProblem):
        def __init__(self) -> None:
            super().__init__(
                n_var=world.genes, n_obj=len(world.kpis), n_ieq_constr=1 + len(world.groups), xl=0.0, xu=BUDGET
            )

        def _evaluate(self, x, out, *args, **kwargs) -> None:
            out["F"], out["G"] = -world.score(x), -world.room(x)

    kept: list[tuple[int, float, Floats]] = []

    class Kept(Callback):
        def notify(self, algorithm) -> None:
            feasible = algorithm.pop.get("feas").reshape(-1)
            kept.append(
                (algorithm.evaluator.n_eval, time.process_time() - begun, -algorithm.pop.get("F")[feasible])
            )

    algorithm = (SMSEMOA if len(world.kpis) <= 3 else AGEMOEA2)(pop_size=POPULATION)
    begun = time.process_time()
    minimize(Plans(), algorithm, ("n_eval", evaluations), seed=seed, callback=Kept(), verbose=False)
    return [(count, seconds, dominated_volume(scores)) for count, seconds, scores in kept]


def formula(world: World, kpi: int) -> list[Any]:
    """A KPI on the scale, in MathJSON, of flat plans whose lines have shares of the budget x_0, x_1 and so on."""
    lines, periods = world.shape

    def share(line: int, lag: int) -> list[Any]:
        stock = world.weights[kpi, line, : lag + 1].sum() * BUDGET / periods / world.half[kpi, line]
        power = ["Power", ["Multiply", float(stock), f"x_{line}"], float(world.slope[kpi, line])]
        return ["Divide", power, ["Add", 1.0, power]]

    terms = []
    for line in range(lines):
        for lag in range(LENGTH):
            # Carry-over has filled up in the last of these periods and all that follow.
            times = periods - LENGTH + 1 if lag == LENGTH - 1 else 1
            more = ["Multiply", float(world.gain[kpi, line]), share((line + 1) % lines, lag)]
            size = float(times * world.scale[kpi, line] / world.best[kpi])
            terms.append(["Multiply", size, share(line, lag), ["Add", 1.0, more]])
    return ["Add", *terms]


def desdeo(world: World, seed: int, evaluations: int = EVALUATIONS) -> Trace:
    """DESDEO's NSGA-II, with the budget as a constraint: (evaluations, seconds, hypervolume) by generation."""
    from desdeo.emo import algorithms, termination
    from desdeo.problem import Constraint, Objective, Problem, Variable

    names = [f"x_{line}" for line in range(world.genes)]
    real = {"variable_type": "real", "lowerbound": 0.0, "upperbound": 1.0, "initial_value": 0.0}
    spent = ["Add", *names, -1.0]
    problem = Problem(
        name="benchmark",
        description="benchmark",
        variables=[Variable(name=name, symbol=name, **real) for name in names],
        objectives=[
            Objective(name=kpi, symbol=kpi, func=formula(world, k), maximize=True)
            for k, kpi in enumerate(world.kpis)
        ],
        constraints=[Constraint(name="budget", symbol="over", cons_type="<=", func=spent)],
    )
    options = algorithms.nsga2_options()
    template = options.template
    template.seed, template.use_archive = seed, False
    template.generator.n_points = template.selection.population_size = POPULATION
    template.mate_selection.winner_size = POPULATION
    stop = termination.MaxEvaluationsTerminatorOptions(max_evaluations=evaluations)
    watch = termination.ExternalCheckTerminatorOptions()
    template.termination = termination.CompositeTerminatorOptions(terminators=[stop, watch])
    kept: list[tuple[float, Floats]] = []

    def seen() -> bool:
        out = solver.keywords["evaluator"].out
        kept.append((time.process_time() - begun, out[world.kpis].to_numpy()[out["over"].to_numpy() <= 0]))
        return False

    begun = time.process_time()
    solver, _ = algorithms.emo_constructor(options, problem, external_check=seen)
    found = solver()
    genes = BUDGET * found.optimal_variables[names].to_numpy()[0]
    np.testing.assert_allclose(world.score(genes), found.optimal_outputs[world.kpis].to_numpy()[0], rtol=1e-9)
    return [
        (
            POPULATION * (turn + 1),
            kept[turn][0],
            dominated_volume(np.vstack([part for _, part in kept[: turn + 1]])),
        )
        for turn in range(len(kept))
    ]


def botorch(world: World, seed: int, evaluations: int = DEAR) -> Trace:
    """BoTorch, with the budget a rule of the acquisition: (evaluations, seconds, hypervolume) by batch."""
    import torch
    from botorch.acquisition.multi_objective.logei import qLogNoisyExpectedHypervolumeImprovement
    from botorch.fit import fit_gpytorch_mll
    from botorch.models import ModelListGP, SingleTaskGP
    from botorch.models.transforms import Standardize
    from botorch.optim import optimize_acqf
    from botorch.sampling import SobolQMCNormalSampler
    from botorch.utils.sampling import get_polytope_samples
    from gpytorch.mlls import SumMarginalLogLikelihood

    def scored(plans: torch.Tensor) -> torch.Tensor:
        return torch.tensor(np.array([world.score(BUDGET * plan) for plan in plans.numpy()]))

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    n, double = world.genes, {"dtype": torch.float64}
    box = torch.stack([torch.zeros(n, **double), torch.ones(n, **double)])
    budget = [(torch.arange(n), -torch.ones(n, **double), -1.0)]
    begun = time.process_time()
    plans = get_polytope_samples(2 * (n + 1), box, budget, seed=seed, n_burnin=1000)
    scores = scored(plans)
    kept = []
    while True:
        kept.append((len(plans), time.process_time() - begun, dominated_volume(scores.numpy())))
        if len(plans) >= evaluations or kept[-1][1] > LONGEST:
            return kept
        exact = torch.full((len(plans), 1), 1e-6, **double)
        parts = [
            SingleTaskGP(plans, scores[:, [k]], exact, outcome_transform=Standardize(1))
            for k in range(len(world.kpis))
        ]
        model = ModelListGP(*parts)
        fit_gpytorch_mll(SumMarginalLogLikelihood(model.likelihood, model))
        worth = qLogNoisyExpectedHypervolumeImprovement(
            model, [0.0] * len(parts), plans, SobolQMCNormalSampler(torch.Size([64])), prune_baseline=True
        )
        # By default it walks long through the rules for places to start from: minutes for five plans.
        settings = {"maxiter": 50, "n_burnin": 200, "n_thinning": 4}
        shape = {"num_restarts": 2, "raw_samples": 64, "sequential": True}
        found, _ = optimize_acqf(worth, box, BATCH, inequality_constraints=budget, options=settings, **shape)
        found = found.clamp(0.0, 1.0)
        found = found / found.sum(dim=1, keepdim=True).clamp(min=1.0)
        plans, scores = torch.cat([plans, found]), torch.cat([scores, scored(found)])
