"""Hill curves over several periods at once against those of one period, and where they decline."""

from __future__ import annotations

import platform
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer import kernels_blocks as layout
from optimizer import kernels_hill as hill
from optimizer.kernels_curves import HILL, TINY, add_values
from optimizer.kernels_curves import slopes as one_by_one

NO_KNOTS = np.zeros((3, 0))
media = st.one_of(st.just(0.0), st.just(5e-324), st.floats(1e-9, 1e9), st.floats(1e-300, 1e300))


def room(x: np.ndarray, second: np.ndarray) -> np.ndarray:
    """A block's room with these rows of media (periods, draws) and slopes."""
    out = np.full(layout.ROOM, np.nan)
    out[layout.SECOND :][: len(second)] = second
    out[layout.TOTAL :][: len(second)] = 1.0
    for i, row in enumerate(x):
        out[layout.X + i * layout.BLOCK :][: len(row)] = row
    return out


def careful(x: np.ndarray, second: np.ndarray, factors: list[float]) -> np.ndarray:
    total = np.ones(len(second))
    for row, factor in zip(x, factors, strict=True):
        add_values(HILL, row, second, NO_KNOTS, np.full(len(row), factor), total)
    return total


@given(st.lists(media, min_size=4, max_size=4), st.floats(hill.LEAST_SLOPE, 20.0), st.integers(1, 8))
@settings(max_examples=300)
def test_values_agree_with_those_of_one_period_or_it_declines(values, slope, sixteens):
    wide = sixteens * layout.LANES
    second, factors = np.full(wide, slope), [1.0, 0.0, 2.5, 1e-3]
    x = np.array(values)[:, None] * np.linspace(1.0, 1.1, wide)
    block = room(x, second)
    done, total = hill.add_hill(block, wide, *factors), block[layout.TOTAL :][:wide]
    np.testing.assert_allclose(total, careful(x, second, factors) if done else 1.0, rtol=1e-14)
    # At zero it always declines, in the middle never.
    assert done == (x.min() > 0.0 and abs(slope * np.log2(x)).max() <= 500.0)


@given(st.lists(media, min_size=4, max_size=4), st.floats(hill.LEAST_SLOPE, 20.0))
@settings(max_examples=300)
def test_slopes_agree_with_those_of_one_period_or_it_declines(values, slope):
    wide = layout.BLOCK
    second, wanted = np.full(wide, slope), np.empty((4, wide))
    x = np.array(values)[:, None] * np.linspace(1.0, 1.1, wide)
    for row, out in zip(x, wanted, strict=True):
        one_by_one(HILL, row, second, NO_KNOTS, out)
    block = room(x, second)
    done = hill.hill_slopes(block, wide)
    if done:
        np.testing.assert_allclose(block[layout.Y :].reshape(4, -1), wanted, rtol=1e-13)
    assert done == (abs(slope * np.log2(np.maximum(x, TINY))).max() <= 250.0)


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="reads one kind of assembly")
@pytest.mark.parametrize("function", [hill.add_hill, hill.hill_slopes], ids=lambda function: function.__name__)
def test_it_is_vector_code_alone(function):
    # "pd" is several doubles at once, "sd" a single one: a scalar remainder would divide one by one.
    function.recompile()
    (assembly,) = function.inspect_asm().values()
    assert re.search(r"\bv?divpd\b", assembly)
    assert not re.search(r"\bv?divsd\b", assembly)
