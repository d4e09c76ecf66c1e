"""The projection kernels against Dykstra's method, a quadratic solver, and the conditions of optimality."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import clarabel
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from naive_projection import project
from scipy import sparse

from optimizer.kernels_active import project_active
from optimizer.kernels_projection import project_row, project_rows
from optimizer.solve.projection import Projection

AGREE = 1e-8
ROUNDS = 20


def rules(seed: int, n: int, m: int, tight: float = 0.01):
    """A polyhedron around a plan that spends the budget: a budget row and ``m - 1`` others, and a box."""
    rng = np.random.default_rng(seed)
    inside = rng.dirichlet(np.ones(n))
    picked = (rng.random((m - 1, n)) < 0.5) * 1.0
    shares = rng.random((m - 1, 1)) * rng.integers(0, 2, (m - 1, 1))
    A = np.vstack([np.ones(n), picked - shares])
    A[1:][np.abs(A[1:]).sum(axis=1) == 0] = 1.0
    equal = np.arange(m) == (0 if rng.random() < 0.7 else -1)
    b = A @ inside + np.where(equal, 0.0, rng.choice([tight, 0.1], m) * rng.random(m))
    lower = np.maximum(0.0, inside - rng.random(n) * rng.choice([0.01, 1], n))
    upper = inside + rng.random(n) * rng.choice([0.01, 1], n)
    points = rng.normal(inside, rng.choice([0.01, 0.3, 3]), (4, n))
    return points, lower, upper, A, b, equal


def by_rows(points, lower, upper, A, b, equal, rounds=ROUNDS):
    table = sparse.csr_matrix(A)
    out, miss = np.empty_like(points), np.empty(len(points))
    ends = [np.tile(end, (len(points), 1)) for end in (lower, upper)]
    starts, columns = table.indptr.astype(np.int64), table.indices.astype(np.int64)
    project_rows(points, *ends, starts, columns, table.data, b, equal, rounds, out, miss)
    return out, miss


def by_solver(point, lower, upper, A, b, equal):
    """Clarabel's projection, then exact on the rules it found to bind."""
    n = len(point)
    rows = np.vstack([A[equal], A[~equal], np.eye(n), -np.eye(n)])
    ends = np.concatenate([b[equal], b[~equal], upper, -lower])
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = 1e-13
    many = int(equal.sum())
    cones = [clarabel.ZeroConeT(many), clarabel.NonnegativeConeT(len(ends) - many)]
    eye = sparse.eye_array(n, format="csc")
    found = clarabel.DefaultSolver(sparse.csc_matrix(eye), -point, sparse.csc_matrix(rows), ends, cones, settings)
    solved = found.solve()
    z = np.array(solved.z)
    bind = (np.arange(len(ends)) < many) | (z > 1e-6)
    move = np.linalg.lstsq(rows[bind] @ rows[bind].T, rows[bind] @ point - ends[bind], rcond=1e-13)[0]
    return point - rows[bind].T @ move


@pytest.mark.parametrize("seed", range(60))
def test_rows_agree_with_a_quadratic_solver(seed: int) -> None:
    rng = np.random.default_rng(1000 + seed)
    case = rules(seed, int(rng.integers(2, 40)), int(rng.integers(1, 13)))
    out, miss = by_rows(*case)
    assert miss.max() <= 1e-12
    for found, point in zip(out, case[0], strict=True):
        assert np.abs(found - by_solver(point, *case[1:])).max() <= AGREE


@given(st.integers(0, 10**6), st.integers(2, 6), st.integers(1, 4))
def test_rows_agree_with_dykstra(seed: int, n: int, m: int) -> None:
    points, *rest = rules(seed, n, m, tight=0.05)
    near = np.clip(points, -0.2, 1.2)
    out, _ = by_rows(near, *rest)
    naive = np.array([project(point, *rest) for point in near])
    # Dykstra's method is slow where rules are nearly parallel: it may not have arrived, but is never nearer.
    away = np.linalg.norm(naive - near, axis=1) - np.linalg.norm(out - near, axis=1)
    lower, upper, A, b, equal = rest
    room = np.where(equal, -np.abs(b - naive @ A.T), b - naive @ A.T)
    arrived = (room.min(axis=1) > -1e-10) & (np.minimum(naive - lower, upper - naive).min(axis=1) > -1e-10)
    assert np.all(away[arrived] >= -1e-8)
    assert np.all(np.abs(naive - out)[arrived & (away < 1e-12)].max(initial=0.0) <= 1e-5)


@given(st.integers(0, 10**6), st.integers(1, 30))
def test_one_row_agrees_with_many(seed: int, n: int) -> None:
    points, lower, upper, A, b, equal = rules(seed, n, 1)
    ends = [np.tile(end, (len(points), 1)) for end in (lower, upper)]
    one, miss = np.empty_like(points), np.empty(len(points))
    project_row(points, *ends, A[0], float(b[0]), bool(equal[0]), one, miss)
    assert miss.max() <= 1e-13
    assert np.abs(one - by_rows(points, lower, upper, A, b, equal)[0]).max() <= 1e-12


@given(st.integers(0, 10**6), st.integers(2, 20), st.integers(1, 8))
def test_the_active_set_agrees_with_newton(seed: int, n: int, m: int) -> None:
    points, *rest = rules(seed, n, m)
    out, _ = by_rows(points, *rest)
    for point, newton in zip(points, out, strict=True):
        x = np.empty(n)
        assert project_active(point, *rest, x)
        assert np.abs(x - newton).max() <= 1e-10


def test_pace_from_period_to_period_is_many_rows() -> None:
    """Ten lines over 26 periods, each held to its pace: 501 rows."""
    lines, periods = 10, 26
    n = lines * periods
    cells = np.arange(n).reshape(lines, periods)
    rows = [np.ones(n)]
    for before, after in zip(cells[:, :-1].ravel(), cells[:, 1:].ravel(), strict=True):
        for factors in ((1.0, -1.5), (-1.0, 0.6)):
            row = np.zeros(n)
            row[[after, before]] = factors
            rows.append(row)
    A = np.array(rows)
    length = np.linalg.norm(A, axis=1)
    A, b = A / length[:, None], np.append(1.0, np.zeros(len(A) - 1)) / length
    problem: Any = SimpleNamespace(
        A=sparse.csr_matrix(A),
        b=b,
        equal=np.arange(len(b)) == 0,
        lower=np.zeros(n),
        upper=np.full(n, 0.3),
        scenario=SimpleNamespace(free=True),
    )
    points = np.random.default_rng(0).gamma(0.5, 1.0, (3, n)) / n
    found, kept = Projection(problem)(points)
    assert kept.all()
    for point, plan in zip(points, found, strict=True):
        wanted = by_solver(point, problem.lower, problem.upper, A, b, problem.equal)
        np.testing.assert_allclose(plan, wanted, atol=1e-8)
        assert (A @ plan - b).max() <= 1e-10


def test_rules_that_contradict_each_other_are_told() -> None:
    A, b = np.array([[1.0, 1.0], [-1.0, -1.0]]), np.array([1.0, -1.5])
    _, miss = by_rows(np.array([[0.3, 0.4]]), np.zeros(2), np.ones(2), A, b, np.zeros(2, bool))
    assert miss[0] > 0.1
    out, miss = np.empty((1, 2)), np.empty(1)
    project_row(np.zeros((1, 2)), np.zeros((1, 2)), np.ones((1, 2)), np.ones(2), 3.0, True, out, miss)
    assert miss[0] == pytest.approx(1.0)


def test_a_plan_within_the_rules_stays() -> None:
    _, lower, upper, A, b, equal = rules(3, 8, 5)
    out, _ = by_rows(np.zeros((1, 8)), lower, upper, A, b, equal)
    again, _ = by_rows(out, lower, upper, A, b, equal)
    assert np.abs(again - out).max() <= 1e-13
