"""The elementary functions of the kernels against exact arithmetic, at ordinary, tiny and huge arguments."""

from __future__ import annotations

import platform
import re
from decimal import MAX_EMAX, MIN_EMIN, Decimal, localcontext

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numba import njit

from optimizer import kernels_math as fast

# A few units in the last place of a double.
FEW = 8 * np.finfo(float).eps
positive = st.one_of(
    st.floats(5e-324, 1.7e308),
    st.floats(0.5, 2.0),
    st.builds(lambda digits, power: digits * 10.0**power, st.floats(1.0, 10.0), st.integers(-300, 300)),
)


def exact(formula, *arguments: float) -> Decimal:
    with localcontext(prec=60, Emax=MAX_EMAX, Emin=MIN_EMIN):
        return formula(*map(Decimal, arguments))


@given(positive)
@example(5e-324)
@example(1.0)
@example(np.nextafter(1.0, 0.0))
@settings(max_examples=500)
def test_log2(x):
    wanted = exact(lambda x: x.ln() / Decimal(2).ln(), x)
    assert fast.log2(x) == pytest.approx(float(wanted), rel=FEW)


@given(st.floats(-1021.0, 1023.0))
@example(0.5)
@example(-0.0)
@settings(max_examples=500)
def test_exp2(y):
    assert fast.exp2(y) == pytest.approx(float(exact(lambda y: (y * Decimal(2).ln()).exp(), y)), rel=FEW)


@pytest.mark.parametrize("y", [1.7e308, -1.7e308, 1e4, -1e4, float("inf"), float("-inf")])
def test_exp2_is_held_within_a_doubles_range(y):
    assert fast.exp2(y) == (2.0**1023 if y > 0 else 2.0**-1021)


@given(st.floats(-500.0, 500.0), st.floats(1e-6, 1e6))
@example(0.0, 1.0)
@example(0.5, 1.0)
@example(-0.5, 1.0)
@settings(max_examples=500)
def test_logistic2(y, top):
    wanted = exact(lambda y, top: top / (1 + (y * Decimal(2).ln()).exp()), y, top)
    assert fast.logistic2(top, y) == pytest.approx(float(wanted), rel=FEW)


@given(st.one_of(st.just(0.0), positive))
@example(1e-16)
@example(2.0**53)
@settings(max_examples=500)
def test_log1p(x):
    wanted = np.log1p(x)
    assert fast.log1p(x) == pytest.approx(wanted, rel=FEW)


@given(st.one_of(st.just(0.0), positive))
@example(0.17)
@settings(max_examples=500)
def test_tanh(u):
    assert fast.tanh(u) == pytest.approx(np.tanh(u), rel=FEW)


@pytest.mark.parametrize("name", ["log2", "exp2", "log1p", "tanh"])
def test_loops_over_them_are_vector_code(name):
    function = getattr(fast, name)

    @njit(error_model="numpy", fastmath={"contract"})
    def loop(x, out):
        for i in range(len(x)):
            out[i] = function(x[i])

    loop(np.ones(4), np.ones(4))
    (assembly,) = loop.inspect_asm().values()
    if platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip("this test reads the assembly of one kind of processor")
    # "pd" is several doubles at once, "sd" a single one.
    assert re.search(r"\bv?(mul|fn?madd\d+)pd\b", assembly)
