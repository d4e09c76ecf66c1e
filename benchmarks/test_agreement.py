"""All routes on the same random problems: how far they differ, and by how much each bound clears every plan.

    python -m pytest benchmarks/test_agreement.py -s

The problems are those of `tests/test_routes.py`, five hundred of them instead of forty: 2 to 7 lines, each kind of
rule, floor and curve in about a third of them, some with no plan at all.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from test_routes import AGREE, check_agreement

PROBLEMS = 500


def test_routes_agree_and_no_bound_is_below_a_plan() -> None:
    kinds: Counter[str] = Counter()
    differ, gap, clear = 0.0, 0.0, float("inf")
    for seed in range(PROBLEMS):
        kind, apart, open_gap, above = check_agreement(seed)
        kinds[kind] += 1
        differ, gap, clear = max(differ, apart), max(gap, open_gap), min(clear, above)
    print(f"\n{PROBLEMS} problems: {', '.join(f'{n} {kind}' for kind, n in sorted(kinds.items()))}")
    print(f"values differ by at most {differ:.1e}, gaps are at most {gap:.1e}, ", end="")
    print(f"the lowest bound is above the best plan of any route by at least {clear:.1e}")
    assert differ <= AGREE
    assert clear >= 0.0
