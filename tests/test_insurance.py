"""The worked case: what follows from the curves, and what of the published story does not."""

import re
from pathlib import Path

import pytest

import optimizer as opt
from optimizer.report.charts import front_charts
from optimizer.report.view import View

FILE = Path(__file__).parents[1] / "scenarios" / "insurance.yaml"


@pytest.fixture(scope="module")
def plan() -> opt.Plan:
    return opt.solve(opt.Scenario.load(FILE))


def test_todays_split_is_the_one_that_yields_most_forms(plan: opt.Plan) -> None:
    data = plan.scenario.resolved()
    del data["hash"]
    data["preferences"] = {"weights": {"policies": 0.0, "forms": 1.0}, "scale": data["preferences"]["scale"]}
    by_forms = opt.solve(opt.Scenario.from_dict(data))
    assert by_forms.spend["high_intent"] / 250_000 == pytest.approx(0.267, abs=0.0005)
    assert plan.outcomes.loc["forms", "current"] == pytest.approx(by_forms.outcomes.loc["forms", "expected"])


def test_forms_fall_and_the_purchase_rate_doubles(plan: opt.Plan) -> None:
    outcomes = plan.outcomes
    assert plan.spend["high_intent"] / 250_000 == pytest.approx(0.95, abs=0.001)
    assert -0.30 <= outcomes.loc["forms", "change"] <= -0.26
    assert outcomes.loc["purchase_rate", "current"] == pytest.approx(0.080, abs=0.001)
    assert outcomes.loc["purchase_rate", "expected"] == pytest.approx(0.160, abs=0.001)


def test_policies_follow_from_forms_and_purchase_rate(plan: opt.Plan) -> None:
    outcomes = plan.outcomes
    assert outcomes.loc["policies", "change"] == pytest.approx(
        (1 + outcomes.loc["forms", "change"]) * 2 - 1, abs=1e-6
    )


def test_the_published_policies_and_cost_are_not_reproduced(plan: opt.Plan) -> None:
    assert plan.claims["reproduced"].to_dict() == {
        "forms": True,
        "purchase_rate": True,
        "policies": False,
        "cost_per_policy": False,
    }
    assert plan.outcomes.loc["policies", "change"] == pytest.approx(0.44, abs=0.005)
    assert plan.outcomes.loc["cost_per_policy", "change"] == pytest.approx(-0.306, abs=0.005)


def test_the_pictures_points_are_the_front_that_the_code_finds(plan: opt.Plan) -> None:
    made = front_charts(View(plan, plan.scenario, opt.frontier(plan.scenario)))[0].drawing
    shipped = FILE.with_suffix(".svg").read_text()
    # Where marks stand, in pixels; how texts are drawn is the library's.
    drawn, kept = (
        [float(value) for value in re.findall(r"translate\(([\d.]+),[\d.]+\)", text)] for text in (made, shipped)
    )
    assert drawn == pytest.approx(kept, abs=1.0)
