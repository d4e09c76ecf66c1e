"""Which leads count: above a threshold, or each by its calibrated probability to buy."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..errors import DataError, SpecError
from ..plan import plain, records
from .verdict import Verdict, stats_library

if TYPE_CHECKING:
    from ..scenario import Scenario

Floats = NDArray[np.float64]

LATER = 0.3
"""Share of the leads, the latest, on which calibration is checked."""
FEWEST = 50
"""Purchases (and leads without one) that each slice needs."""
ENOUGH_FOR_STEPS = 1000
"""Leads from which a calibration may take any rising shape instead of a logistic one."""
OFF = 0.1
"""Share by which purchases may miss their expectation."""
BINS = 10
EXPECTED = "expected value"


@dataclass(frozen=True)
class Leads:
    """Scored leads, calibrated on the earlier ones and checked on the later ones.

    Attributes
    ----------
    probability : Series
        Of every lead to buy, in the order given. The KPI by default is their sum.
    calibration : DataFrame
        Of the later leads, by bins of equal number: ``expected`` and ``observed`` share that bought.
    figures : dict
        On the later leads: ``leads``, ``purchases``, ``expected`` (purchases), ``ratio`` (observed to expected)
        with ``ratio_low`` and ``ratio_high`` (99 %), ``brier``, ``brier_of_none`` (of the same probability for
        all), ``auc`` and ``auc_by_chance`` (passed in 5 % by a score that tells nothing).
    choices : DataFrame
        By choice (``expected value``, then thresholds on the probability), on the later leads: ``counted``
        (the KPI), ``purchases caught`` (share of purchases by leads that count), ``rate`` (purchases a
        counted lead).
    lines : DataFrame
        By line, for every choice: what one lead of the line counts; and ``observed`` (its purchases a lead). Empty
        without lines.
    verdict : Verdict
        On the calibration.
    plans : DataFrame
        What each choice does to a plan, see `plans_by_choice`; empty unless asked for.
    """

    probability: pd.Series
    calibration: pd.DataFrame
    figures: dict[str, float]
    choices: pd.DataFrame
    lines: pd.DataFrame
    verdict: Verdict
    plans: pd.DataFrame = field(default_factory=pd.DataFrame)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON data but the leads themselves; NaN becomes null."""
        return {
            "audit": "leads",
            "figures": {name: plain(value) for name, value in self.figures.items()},
            "calibration": records(self.calibration),
            "choices": records(self.choices),
            "lines": records(self.lines),
            "plans": records(self.plans),
            "verdict": self.verdict.to_dict(),
        }


def qualify(leads: pd.DataFrame, thresholds: tuple[float, ...] | None = None) -> Leads:
    """Calibrate scores, check them on later leads, and say what each way to count leads does.

    Parameters
    ----------
    leads : DataFrame
        One row a lead: ``date``, ``score`` (any number that rises with the chance to buy), ``bought`` (0 or 1),
        and maybe ``line``. Old enough that who would buy has bought.
    thresholds : tuple of float, optional
        Probabilities from which a lead counts; the quartiles of the calibrated ones unless given.

    Raises
    ------
    DataError
        If ``bought`` is not 0 or 1, or there are too few purchases to calibrate on.
    """
    if not leads["bought"].isin([0, 1]).all():
        raise DataError(
            "'bought' has values other than 0 and 1", "1 for a lead that bought, 0 for one that did not"
        )
    order = leads.sort_values("date", kind="stable")
    # Leads of one day stay together, or the check would see the days it was fitted to.
    cut = order["date"].iloc[int((1 - LATER) * len(order))] if len(order) else None
    earlier, later = leads[leads["date"] < cut], leads[leads["date"] >= cut]
    for name, part in (("earlier", earlier), ("later", later)):
        bought = int(part["bought"].sum())
        if min(bought, len(part) - bought) < FEWEST:
            raise DataError(
                f"the {name} leads have {bought} purchases in {len(part)}",
                f"each slice needs {FEWEST} leads that bought and as many that did not: take a longer time",
            )
    probability = _calibrate(earlier, leads)
    expected = probability[leads["date"] >= cut].to_numpy()
    bought = later["bought"].to_numpy(dtype=float)
    if thresholds is None:
        quartiles = np.quantile(probability, [0.25, 0.5, 0.75])
        thresholds = tuple(float(value) for value in np.unique(quartiles))
    figures = _figures(expected, bought, len(earlier))
    curve = stats_library("sklearn.calibration").calibration_curve
    observed, foretold = curve(bought, np.clip(expected, 0, 1), n_bins=BINS, strategy="quantile")
    calibration = pd.DataFrame({"expected": foretold, "observed": observed}).rename_axis("bin")
    return Leads(
        probability,
        calibration,
        figures,
        _choices(expected, bought, thresholds),
        _lines(later, expected, thresholds),
        _verdict(figures),
    )


def _calibrate(earlier: pd.DataFrame, leads: pd.DataFrame) -> pd.Series:
    """Probabilities of all leads by a calibration fitted to the earlier ones."""
    score, bought = earlier["score"].to_numpy(dtype=float), earlier["bought"].to_numpy(dtype=int)
    wanted = leads["score"].to_numpy(dtype=float)
    if len(earlier) >= ENOUGH_FOR_STEPS:
        steps = stats_library("sklearn.isotonic").IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip")
        found = steps.fit(score, bought).predict(wanted)
    else:
        centre, width = score.mean(), score.std() or 1.0
        model = stats_library("sklearn.linear_model").LogisticRegression(C=1e6)
        model.fit(((score - centre) / width)[:, None], bought)
        found = model.predict_proba(((wanted - centre) / width)[:, None])[:, 1]
    return pd.Series(found, leads.index, name="probability")


def _figures(expected: Floats, bought: Floats, earlier: int) -> dict[str, float]:
    metrics = stats_library("sklearn.metrics")
    total = float(expected.sum())
    # Purchases vary around their expectation as independent coins do; so did those the calibration was fitted to.
    variance = float((expected * (1 - expected)).sum()) * (1 + len(bought) / earlier)
    spread = 2.58 * np.sqrt(variance) / total
    # Standard deviation of the AUC of a score that tells nothing (Mann & Whitney, 1947).
    yes, no = float(bought.sum()), float(len(bought) - bought.sum())
    by_chance = 0.5 + 1.64 * np.sqrt((yes + no + 1) / (12 * yes * no))
    ratio = float(bought.sum()) / total
    return {
        "leads": float(len(bought)),
        "purchases": float(bought.sum()),
        "expected": total,
        "ratio": ratio,
        "ratio_low": ratio - spread,
        "ratio_high": ratio + spread,
        "brier": float(np.mean((expected - bought) ** 2)),
        "brier_of_none": float(bought.mean() * (1 - bought.mean())),
        "auc": float(metrics.roc_auc_score(bought, expected)),
        "auc_by_chance": float(by_chance),
    }


def _choices(expected: Floats, bought: Floats, thresholds: tuple[float, ...]) -> pd.DataFrame:
    rows = {EXPECTED: (float(expected.sum()), 1.0, float(bought.sum() / expected.sum()))}
    for threshold in thresholds:
        counts = expected >= threshold
        rate = float(bought[counts].mean()) if counts.any() else np.nan
        rows[_label(threshold)] = (float(counts.sum()), float(bought[counts].sum() / bought.sum()), rate)
    columns = ["counted", "purchases caught", "rate"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("choice")


def _label(threshold: float) -> str:
    return f"probability from {threshold:.4g}"


def _lines(later: pd.DataFrame, expected: Floats, thresholds: tuple[float, ...]) -> pd.DataFrame:
    if "line" not in later:
        return pd.DataFrame()
    table = pd.DataFrame({EXPECTED: expected, "line": later["line"].to_numpy()})
    for threshold in thresholds:
        table[_label(threshold)] = (expected >= threshold).astype(float)
    table["observed"] = later["bought"].to_numpy(dtype=float)
    return table.groupby("line", sort=True).mean()


def _verdict(figures: dict[str, float]) -> Verdict:
    said = (
        f"of the later {figures['leads']:,.0f} leads {figures['purchases']:,.0f} bought, "
        f"{figures['expected']:,.0f} were expected (ratio {figures['ratio']:.2f}, "
        f"99 % interval {figures['ratio_low']:.2f} to {figures['ratio_high']:.2f}); AUC {figures['auc']:.2f}"
    )
    if figures["auc"] <= figures["auc_by_chance"]:
        reason = f"{said}: a score that tells nothing does as well"
        return Verdict("red", "scores tell nothing", reason, "score the leads anew")
    low, high, ratio = figures["ratio_low"], figures["ratio_high"], figures["ratio"]
    if not low <= 1 <= high and abs(ratio - 1) > OFF:
        return Verdict(
            "red", "not calibrated", f"{said}: the probabilities are off by more than {100 * OFF:.0f} %",
            "calibrate anew on recent leads before their sum is a KPI",
        )  # fmt: skip
    if low < 1 - 2 * OFF or high > 1 + 2 * OFF:
        return Verdict("grey", "cannot be told", f"{said}: too few leads to tell", "ask again with more leads")
    return Verdict("green", "calibrated", said, "use the expected value as the KPI, rather than a threshold")


def plans_by_choice(scenario: Scenario, kpi: str, found: Leads) -> pd.DataFrame:
    """Plan for each way to count leads, and say what each plan brings in purchases.

    Every line's response in leads is multiplied by what one of its leads counts; the plan is the best for that
    count alone, under the rules. Purchases are leads times the line's observed purchases a lead.

    Parameters
    ----------
    scenario : Scenario
    kpi : str
        The additive KPI that counts leads.
    found : Leads
        With a row in ``lines`` for each line of the scenario.

    Returns
    -------
    DataFrame
        By choice, first ``every lead`` and last ``observed``: ``purchases`` (over the horizon), ``lost`` (share of
        the purchases of the plan for ``observed``), then each line's spend.

    Raises
    ------
    SpecError
        If the KPI is not additive, or a line has no leads.
    """
    from ..simulate import simulate
    from ..solve.routes import solve
    from .alignment import only

    if kpi not in scenario.tree.leaves:
        raise SpecError(
            f"'{kpi}' is no additive KPI", f"KPIs that lines add to: {', '.join(scenario.tree.leaves)}"
        )
    missing = [line for line in scenario.lines if line not in found.lines.index]
    if missing:
        raise SpecError(f"no lead is from line '{missing[0]}'", "name the leads' lines as the scenario does")
    worth = found.lines.loc[list(scenario.lines)]
    choices = {"every lead": np.ones(len(worth)), **{str(name): worth[name].to_numpy() for name in worth}}
    bare = only(scenario, kpi)
    truth = _counting(bare, kpi, worth["observed"].to_numpy())
    rows = {}
    for name, factor in choices.items():
        plan = solve(_counting(bare, kpi, factor))
        purchases = float(simulate(truth, plan.spend)[kpi].mean())
        rows[name] = {"purchases": purchases, "lost": 0.0} | {str(k): float(v) for k, v in plan.totals.items()}
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("choice")
    table["lost"] = 1.0 - table["purchases"] / table.loc["observed", "purchases"]
    return table


def _counting(scenario: Scenario, kpi: str, factor: Floats) -> Scenario:
    """Return the scenario with each line's response in a KPI multiplied."""
    model, k = scenario.response, scenario.tree.leaves.index(kpi)
    scale = model.scale.copy()
    scale[:, k, :] *= factor
    return replace(scenario, response=replace(model, scale=scale))
