"""What Meridian plans for a world: ``PYTHON peer_meridian.py FOLDER``, where PYTHON has it.

A national model with its own priors, and knots of the baseline picked by itself. Its optimiser scales what was
spent between two dates: the last quarter, which is today's split, by line within the limits. It reads
``task.json`` and ``history.csv`` and writes ``meridian.json``. Nothing of the product is imported.
"""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from meridian.analysis.optimizer import BudgetOptimizer
from meridian.data.data_frame_input_data_builder import DataFrameInputDataBuilder
from meridian.model.model import Meridian
from meridian.model.spec import ModelSpec
from peer_files import processor, read, write

CHAINS, ADAPTED, BURNT, DRAWN = 2, 500, 250, 500
WATCHED = ("alpha_m", "ec_m", "beta_m", "sigma", "knot_values")
# The weighted sum of KPIs is about 1; its KPI is a count.
UNITS = 10_000.0


def main(folder: Path) -> None:
    """Fit the world of a folder, let the package's optimiser split the budget, and write the plan."""
    began = processor()
    task, history = read(folder)
    history = history.rename(columns={"week": "time"})
    # A line that never changed is refused; it is to be left out, and so keeps its money.
    lines = [name for name in task["today"] if (history[name] != history[name][0]).any()]
    history["kpi"] = history.pop("y") * UNITS
    builder = DataFrameInputDataBuilder(kpi_type="non_revenue").with_kpi(history)
    data = builder.with_media(history, media_cols=lines, media_spend_cols=lines, media_channels=lines).build()
    model = Meridian(input_data=data, model_spec=ModelSpec(enable_aks=True))
    model.sample_prior(200, seed=task["seed"])
    model.sample_posterior(n_chains=CHAINS, n_adapt=ADAPTED, n_burnin=BURNT, n_keep=DRAWN, seed=task["seed"])
    fitted = processor()
    last = history["time"].iloc[-task["periods"] :]
    plan = (
        BudgetOptimizer(model)
        .optimize(
            start_date=last.iloc[0],
            end_date=last.iloc[-1],
            fixed_budget=True,
            spend_constraint_lower=[1 - task["limits"][name][0] / task["today"][name] for name in lines],
            spend_constraint_upper=[task["limits"][name][1] / task["today"][name] - 1 for name in lines],
            use_kpi=True,
        )
        .optimized_data.spend
    )
    spent = task["today"] | {name: float(plan.sel(channel=name)) for name in lines}
    write(
        folder,
        task,
        "google-meridian",
        spent,
        model.inference_data,
        WATCHED,
        (fitted - began, processor() - fitted),
    )


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(Path(sys.argv[1]))
