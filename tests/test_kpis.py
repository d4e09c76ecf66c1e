"""The KPI tree: recomputation against a naive recursion, its affine and ratio forms, and what it refuses."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from optimizer import documents
from optimizer.errors import SpecError
from optimizer.kpi_tree import Affine, KpiTree
from optimizer.kpis import RESERVED, SPEND, Kpi

Definitions = dict[str, tuple[str, list[Any]] | None]


def tree_of(definitions: Definitions) -> KpiTree:
    return KpiTree({name: Kpi(**({what[0]: what[1]} if what else {})) for name, what in definitions.items()})


def recompute(definitions: Definitions, leaves: dict[str, float], name: Any) -> float:
    """The obvious recursion."""
    if not isinstance(name, str):
        return float(name)
    if definitions.get(name) is None:
        return leaves[name]
    formula, parts = definitions[name]
    terms = [recompute(definitions, leaves, part) for part in parts]
    if formula == "sum":
        return math.fsum(terms)
    if formula == "difference":
        return terms[0] - terms[1]
    if formula == "product":
        return math.prod(terms)
    return math.nan if terms[1] == 0 else terms[0] / terms[1]


def degree(definitions: Definitions, name: Any) -> int | None:
    """0 for a constant, 1 for affine in the leaves, None for anything else, by the shape of the formula alone."""
    if not isinstance(name, str):
        return 0
    if definitions.get(name) is None:
        return 1
    formula, parts = definitions[name]
    degrees = [degree(definitions, part) for part in parts]
    if None in degrees:
        return None
    if formula == "product":
        return sum(degrees) if sum(degrees) <= 1 else None
    if formula == "ratio":
        constant = degrees[1] == 0 and recompute(definitions, {}, parts[1]) != 0
        return degrees[0] if constant else None
    return max(degrees)


values = st.one_of(st.sampled_from([0.0, 1.0, -2.0]), st.floats(-100, 100).map(lambda x: round(x, 3)))


@st.composite
def trees(draw: Any) -> tuple[Definitions, dict[str, float]]:
    """Random definitions in random order, derived KPIs over any that do not need them; and leaf values."""
    leaves = [f"leaf{i}" for i in range(draw(st.integers(1, 4)))]
    known: Definitions = dict.fromkeys(leaves)
    for index in range(draw(st.integers(1, 6))):
        formula = draw(st.sampled_from(["ratio", "product", "sum", "difference"]))
        n = 2 if formula in ("ratio", "difference") else draw(st.integers(2, 4))
        part = st.one_of(st.sampled_from([*known, SPEND]), values)
        # At least one part is a KPI; what numbers alone do is a test of its own.
        parts = [draw(st.sampled_from([*known, SPEND])), *(draw(part) for _ in range(n - 1))]
        parts = draw(st.permutations(parts))
        if formula == "ratio" and parts[1] == 0:
            parts[1] = 4.0
        known[f"derived{index}"] = (formula, parts)
    order = draw(st.permutations(list(known)))
    numbers = {name: draw(values) for name in [*leaves, SPEND]}
    return {name: known[name] for name in order}, numbers


@given(trees())
@settings(max_examples=300)
def test_recomputation_agrees_with_the_recursion(case):
    definitions, leaves = case
    found = tree_of(definitions).evaluate({name: np.full((2, 3), value) for name, value in leaves.items()})
    assert list(found) == list(definitions)
    for name, array in found.items():
        wanted = recompute(definitions, leaves, name)
        assert array.shape == (2, 3)
        assert array.tolist() == [[pytest.approx(wanted, rel=1e-9, abs=1e-9, nan_ok=True)] * 3] * 2, name


@given(trees(), st.integers(0, 2**32 - 1))
@settings(max_examples=60)
def test_each_element_is_recomputed_by_itself(case, seed):
    definitions, leaves = case
    arrays = {name: np.random.default_rng(seed + i).integers(-3, 4, (2, 3)) for i, name in enumerate(leaves)}
    found = tree_of(definitions).evaluate(arrays)
    for name, array in found.items():
        for at in np.ndindex(2, 3):
            wanted = recompute(definitions, {leaf: float(values[at]) for leaf, values in arrays.items()}, name)
            assert array[at] == pytest.approx(wanted, rel=1e-9, abs=1e-9, nan_ok=True)


def of_affine(affine: Affine, leaves: dict[str, float]) -> float:
    return affine.constant + sum(factor * leaves[name] for name, factor in affine.coefficients.items())


@given(trees())
@settings(max_examples=300)
def test_affine_form_agrees_with_recomputation(case):
    definitions, leaves = case
    tree = tree_of(definitions)
    for name in [*definitions, SPEND]:
        affine = tree.affine(name)
        assert (affine is None) == (degree(definitions, name) is None), name
        if affine is None:
            continue
        assert set(affine.coefficients) <= set(leaves)
        size = abs(affine.constant) + sum(abs(f * leaves[n]) for n, f in affine.coefficients.items())
        wanted = recompute(definitions, leaves, name)
        assert of_affine(affine, leaves) == pytest.approx(wanted, rel=1e-9, abs=1e-9 * size + 1e-12), name


@given(trees())
@settings(max_examples=300)
def test_ratio_form_agrees_with_recomputation(case):
    definitions, leaves = case
    tree = tree_of(definitions)
    for name, what in definitions.items():
        sides = tree.ratio(name)
        is_ratio = what is not None and what[0] == "ratio"
        affine = is_ratio and all(degree(definitions, part) is not None for part in what[1])
        assert (sides is not None) == affine, name
        if sides is None:
            continue
        above, below = (recompute(definitions, leaves, part) for part in what[1])
        assert of_affine(sides[0], leaves) == pytest.approx(above, rel=1e-9, abs=1e-6), name
        assert of_affine(sides[1], leaves) == pytest.approx(below, rel=1e-9, abs=1e-6), name


def test_by_hand():
    tree = tree_of(
        {
            "cpo": ("ratio", [SPEND, "orders"]),
            "orders": ("sum", ["shop", "app", 10.0]),
            "profit": ("difference", ["margin", SPEND]),
            "margin": ("product", ["orders", 45.0, 0.5]),
            "shop": None,
            "app": None,
        }
    )
    found = tree.evaluate(
        {"shop": np.array([20.0, 0.0]), "app": np.array([30.0, 0.0]), SPEND: np.array([600.0, 5.0])}
    )
    assert {name: array.tolist() for name, array in found.items()} == {
        "cpo": [10.0, 0.5],
        "orders": [60.0, 10.0],
        "profit": [750.0, 220.0],
        "margin": [1350.0, 225.0],
        "shop": [20.0, 0.0],
        "app": [30.0, 0.0],
    }
    assert tree.leaves == ("shop", "app")
    assert tree.affine("profit") == Affine({"shop": 22.5, "app": 22.5, SPEND: -1.0}, 225.0)
    assert tree.affine("cpo") is None
    assert tree.ratio("cpo") == (Affine({SPEND: 1.0}), Affine({"shop": 1.0, "app": 1.0}, 10.0))
    assert tree.ratio("profit") is None


def test_ratio_by_zero_is_nan_and_stays_nan_above():
    tree = tree_of({"a": None, "r": ("ratio", [1.0, "a"]), "s": ("sum", ["r", "a"]), "p": ("product", ["r", 0.0])})
    found = tree.evaluate({"a": np.array([0.0, -0.0, 4.0])})
    np.testing.assert_array_equal(found["r"], [np.nan, np.nan, 0.25])
    np.testing.assert_array_equal(found["s"], [np.nan, np.nan, 4.25])
    np.testing.assert_array_equal(found["p"], [np.nan, np.nan, 0.0])


def test_ratio_by_a_constant_zero_is_refused():
    for zero in (0.0, -0.0):
        with pytest.raises(SpecError, match="zero") as caught:
            tree_of({"a": None, "r": ("ratio", ["a", zero])})
        assert caught.value.path == ("kpis", "r", "ratio", 1)


def test_ratio_by_a_sum_of_nothing_is_never_affine():
    tree = tree_of({"a": None, "zero": ("difference", [2.0, 2.0]), "r": ("ratio", ["a", "zero"])})
    assert tree.affine("r") is None
    assert math.isnan(tree.evaluate({"a": np.array([1.0])})["r"].item())


def test_a_kpi_of_numbers_alone_has_the_shape_of_the_others():
    tree = tree_of({"a": None, "c": ("sum", [2.0, 3.0]), "r": ("ratio", [6.0, 3.0])})
    found = tree.evaluate({"a": np.ones((2, 3))})
    assert found["c"].tolist() == [[5.0] * 3] * 2
    assert found["r"].tolist() == [[2.0] * 3] * 2


@pytest.mark.parametrize(
    ("definitions", "loop"),
    [
        ({"a": ("sum", ["a", 1.0])}, {"a"}),
        ({"a": ("sum", ["b", 1.0]), "b": ("product", ["a", 2.0])}, {"a", "b"}),
        (
            {"x": None, "a": ("ratio", ["x", "b"]), "b": ("sum", ["x", "c"]), "c": ("difference", ["x", "a"])},
            set("abc"),
        ),
        ({"top": ("sum", ["a", 1.0]), "a": ("sum", ["b", 1.0]), "b": ("sum", ["a", 1.0])}, {"a", "b"}),
    ],
)
def test_circles_are_refused(definitions, loop):
    with pytest.raises(SpecError, match="part of itself") as caught:
        tree_of(definitions)
    named = caught.value.message.split(": ")[1].split(" -> ")
    assert named[0] == named[-1]
    assert set(named) == loop
    kpi = caught.value.path[1]
    assert caught.value.path == ("kpis", kpi, definitions[kpi][0])
    assert kpi in loop


def test_a_part_used_twice_is_no_circle():
    tree = tree_of({"d": ("sum", ["b", "c"]), "b": ("sum", ["a", 1.0]), "c": ("sum", ["a", "b"]), "a": None})
    assert tree.evaluate({"a": np.array(1.0)})["d"] == 2.0 + 3.0
    assert sorted(tree.derived) == ["b", "c", "d"]
    assert tree.derived.index("b") < tree.derived.index("c") < tree.derived.index("d")


def test_long_chains_are_no_danger():
    chain: Definitions = {"k0": None}
    chain |= {f"k{i}": ("sum", [f"k{i - 1}", 1.0]) for i in range(1, 1500)}
    tree = tree_of(chain)
    assert tree.evaluate({"k0": np.array([0.0])})["k1499"].item() == 1499.0
    try:
        found = tree.affine("k1499")
    except RecursionError:
        found = None
    assert found == Affine({"k0": 1.0}, 1499.0)


def test_doubling_chains_are_no_bomb():
    # 14 KPIs, each the one before twice: 2^14 steps unless each is worked out once.
    class Counted(KpiTree):
        calls = 0

        def affine(self, name):
            self.calls += 1
            return super().affine(name)

    chain = {"k0": Kpi()} | {f"k{i}": Kpi(sum=[f"k{i - 1}", f"k{i - 1}"]) for i in range(1, 15)}
    tree = Counted(chain)
    assert tree.affine("k14") == Affine({"k0": 2.0**14})
    assert tree.calls < 100


@pytest.mark.parametrize(
    ("kpis", "path"),
    [
        ({"a": {}, "b": {"ratio": ["a", "nowhere"]}}, ("kpis", "b", "ratio", 1)),
        ({"a": {}, "b": {"sum": ["a", "Spend"]}}, ("kpis", "b", "sum", 1)),
        ({"a": {"proxy_for": "nowhere"}}, ("kpis", "a", "proxy_for")),
        *(({name: {}}, ("kpis", name)) for name in RESERVED),
        ({"a": {}, SPEND: {"sum": ["a", 1.0]}}, ("kpis", SPEND)),
    ],
)
def test_unknown_and_reserved_names_are_refused(kpis, path):
    with pytest.raises(SpecError) as caught:
        KpiTree({name: Kpi(**fields) for name, fields in kpis.items()})
    assert caught.value.path == path
    assert caught.value.hint


@pytest.mark.parametrize("reserved", ["spend", "file", "sha256", "leave_out"])
def test_names_with_a_meaning_of_their_own_are_reserved(reserved):
    with pytest.raises(SpecError, match="reserved"):
        KpiTree({reserved: Kpi()})


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"ratio": ["a", "b"], "sum": ["a", "b"]}, "sum"),
        ({"ratio": ["a", "b"], "baseline": 3.0}, "baseline"),
        ({"proxy_for": "a", "horizon": "distal"}, "proxy_for"),
    ],
)
def test_contradictions_are_refused(fields, path):
    with pytest.raises(SpecError) as caught:
        documents.check(documents.Document(fields), Kpi)
    assert caught.value.path == (path,)


@given(trees(), st.randoms(use_true_random=False))
@settings(max_examples=60)
def test_the_order_of_definitions_changes_nothing(case, random):
    definitions, leaves = case
    names = list(definitions)
    random.shuffle(names)
    assume(names != list(definitions))
    arrays = {name: np.array([value]) for name, value in leaves.items()}
    one = tree_of(definitions).evaluate(arrays)
    other = tree_of({name: definitions[name] for name in names}).evaluate(arrays)
    for name in definitions:
        np.testing.assert_array_equal(one[name], other[name])
