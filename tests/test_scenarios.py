"""Every scenario that ships: it plans, its front is rich, and the front's ends are the single optima."""

from pathlib import Path

import pytest

import optimizer as opt

FOLDER = Path(__file__).parents[1] / "scenarios"
PAIRS = ["awareness_conversion", "acquisition_retention", "short_long_term"]


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.yaml")), ids=lambda file: file.stem)
def test_plans_as_it_stands(file: Path) -> None:
    scenario = opt.Scenario.load(file)
    plan = opt.solve(scenario)
    assert plan.certificate.guarantee == "global"
    assert plan.rules["slack"].min() >= -1e-6 * plan.spend.sum()
    # Today's plan is not better on every objective.
    assert (plan.outcomes.loc[list(scenario.objectives), "change"] > 0).any()


@pytest.mark.parametrize("name", PAIRS)
def test_the_front_is_rich_and_ends_at_the_single_optima(name: str) -> None:
    scenario = opt.Scenario.load(FOLDER / f"{name}.yaml")
    front = opt.frontier(scenario, tolerance=0.01)
    assert front.certificate.gap <= 0.01
    assert len(front.points) >= 20
    data = scenario.resolved()
    del data["hash"]
    for kpi in scenario.objectives:
        for other in scenario.objectives:
            data["kpis"][other]["role"] = "objective" if other == kpi else "monitor"
        data["preferences"] = {"floors": data["preferences"]["floors"]}
        alone = opt.solve(opt.Scenario.from_dict(data))
        assert front.points[kpi].max() == pytest.approx(alone.certificate.value, rel=1e-6)
        assert front.payoff.loc[kpi, kpi] == pytest.approx(alone.certificate.value, rel=1e-6)
