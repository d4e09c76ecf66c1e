"""Quality and time of the audits: drift delays and false alarms, wrong verdicts on proxies, a million rows.

python -m pytest benchmarks/test_audit.py -s --benchmark-enable
"""

from __future__ import annotations

import sys
import time
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from test_audit_drift import FALLING, STABLE, first_reds
from test_audit_leads import scored
from test_audit_proxy import answers, people_of

from optimizer.audit.drift import monitor
from optimizer.audit.leads import qualify
from optimizer.audit.proxy import effects_of_tests, validate
from optimizer.audit.rows import load
from optimizer.audit.segments import decompose

RUNS = 400
ROWS = 1_000_000


@pytest.mark.parametrize(("leads", "week", "false"), [(500, 10, 0.06), (150, 15, 0.12)])
@pytest.mark.parametrize("past", [0, 52])
def test_drift(leads, week, false, past):
    delay = np.median(first_reds(FALLING, leads, RUNS, past))
    alarms = np.isfinite(first_reds(STABLE, leads, RUNS, past, seed=2)).mean()
    known = f"reference from {past} weeks" if past else "stated reference"
    print(f"\n{leads} leads a week, {known}: median alarm week {delay:g}, false alarms {alarms:.1%}")
    assert alarms <= false
    # A reference that must itself be estimated takes about a week longer.
    assert delay <= week + (1 if past else 0)


@pytest.mark.parametrize(("rho", "name"), [(0.9, "good"), (-0.6, "clickbait"), (0.0, "useless")])
def test_proxy(rho, name):
    found = answers(rho, RUNS)
    print(f"\n{name}: {dict(found)} of {RUNS}")
    assert rho > 0 or found["supported"] <= 0.05 * RUNS


def timed(what: str, run) -> None:
    start = time.perf_counter()
    run()
    seconds = time.perf_counter() - start
    print(f"\n{what}: {ROWS:,} rows in {seconds:.1f} s")
    assert seconds < 60


def test_a_million_rows(tmp_path):
    rng = np.random.default_rng(1)
    people = people_of(rng, 100, ROWS // 200, 0.9)
    file = tmp_path / "people.csv"
    people.round(4).to_csv(file, index=False)
    columns = {"proxy": "proxy", "goal": "goal", "test": "test", "arm": "arm"}
    timed("proxy, file read", lambda: validate(effects_of_tests(load(file, columns))))
    visits = pd.DataFrame({"period": rng.choice(["a", "b"], ROWS), "segment": rng.choice(list("xyz"), ROWS)})
    visits["count"], visits["size"] = rng.integers(0, 2, ROWS), 1
    timed("segments", lambda: decompose(visits))
    days = np.array([date(2026, 1, 5) + timedelta(weeks=i) for i in range(26)])
    leads = pd.DataFrame({"date": days[rng.integers(0, 26, ROWS)], "count": rng.random(ROWS) < 0.14, "size": 1})
    timed("drift", lambda: monitor(leads.astype({"count": int}), "binomial", target=0.14))
    crm = scored(ROWS)
    timed("leads", lambda: qualify(crm))
