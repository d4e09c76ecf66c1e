"""The projection onto a polyhedron by a dual active-set method: finite and exact, whatever the rows (numba).

Goldfarb & Idnani (Math. Prog. 27, 1983) with the identity as Hessian: the most violated rule is added, and
rules whose multipliers would turn negative on the way are dropped. Bounds are kept as bounds, so that what is
factored is as small as the number of active rows. `kernels_projection` comes here where Newton's method stalls:
nearly degenerate rules, and plans far outside them.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

# A rule broken by less counts as kept; a normal that depends on the active ones to this degree leaves no way.
EXACT, DEPENDENT = 1e-14, 1e-13


@njit(cache=True, nogil=True, error_model="numpy")
def solve(G: Floats, h: Floats, n: int) -> None:
    """Solve ``G r = h`` in place for the first ``n`` rows, G positive definite (Cholesky), r over h."""
    for j in range(n):
        pivot = G[j, j]
        for k in range(j):
            pivot -= G[j, k] ** 2
        G[j, j] = np.sqrt(max(pivot, 1e-300))
        for i in range(j + 1, n):
            total = G[i, j]
            for k in range(j):
                total -= G[i, k] * G[j, k]
            G[i, j] = total / G[j, j]
    for j in range(n):
        for k in range(j):
            h[j] -= G[j, k] * h[k]
        h[j] /= G[j, j]
    for j in range(n - 1, -1, -1):
        for k in range(j + 1, n):
            h[j] -= G[k, j] * h[k]
        h[j] /= G[j, j]


@njit(cache=True, nogil=True, error_model="numpy")
def most_broken(
    x: Floats, lower: Floats, upper: Floats, A: Floats, b: Floats, equal: Bools, held: Ints, state: Ints
) -> tuple[int, int, float]:
    """The most broken rule that is not active: its number (variables, then rows), sign and miss; -1 for none.

    ``held`` (n,) is -1 at a lower bound, 1 at an upper, else 0; ``state`` (M,) the sign of an active row, else 0.
    """
    n, which, sign, worst = len(x), -1, 0, EXACT
    for i in range(n):
        if held[i] == 0:
            if lower[i] - x[i] > worst:
                which, sign, worst = i, 1, lower[i] - x[i]
            if x[i] - upper[i] > worst:
                which, sign, worst = i, -1, x[i] - upper[i]
    for row in range(len(b)):
        if state[row] == 0:
            over, size = -b[row], 0.0
            for i in range(n):
                over += A[row, i] * x[i]
                size += A[row, i] ** 2
            # Equalities come first: they are never dropped.
            miss = abs(over) / max(np.sqrt(size), 1e-300) if equal[row] else over / max(np.sqrt(size), 1e-300)
            if equal[row] and miss > EXACT and size > 0.0:
                return n + row, -1 if over > 0.0 else 1, abs(over)
            if miss > worst and size > 0.0:
                which, sign, worst = n + row, -1, miss
    if which >= n:
        row, over = which - n, -b[which - n]
        for i in range(n):
            over += A[row, i] * x[i]
        worst = over
    return which, sign, worst


@njit(cache=True, nogil=True, error_model="numpy")
def ways(
    normal: Floats, A: Floats, held: Ints, rows: Ints, n_rows: int, state: Ints, G: Floats, r: Floats, z: Floats
) -> float:
    """Write the way ``z`` towards a rule, and in ``r`` what active rows' multipliers lose; return ``|z|^2``."""
    n = len(normal)
    for one in range(n_rows):
        row = rows[one]
        total = 0.0
        for i in range(n):
            if held[i] == 0:
                total += A[row, i] * normal[i]
        r[one] = state[row] * total
        for two in range(one + 1):
            other, product = rows[two], 0.0
            for i in range(n):
                if held[i] == 0:
                    product += A[row, i] * A[other, i]
            G[one, two] = state[row] * state[other] * product
    solve(G, r, n_rows)
    size = 0.0
    for i in range(n):
        z[i] = normal[i]
        for one in range(n_rows):
            z[i] -= state[rows[one]] * A[rows[one], i] * r[one]
        if held[i] == 0:
            size += z[i] ** 2
    return size


@njit(cache=True, nogil=True, error_model="numpy")
def project_active(
    point: Floats, lower: Floats, upper: Floats, A: Floats, b: Floats, equal: Bools, x: Floats
) -> bool:
    """Write the projection of one plan to ``x`` (n,); return whether one was found.

    Parameters
    ----------
    point, lower, upper : (n,)
        The plan and its box.
    A, b, equal : (M, n), (M,), (M,)
        ``A x <= b``, or ``= b``.
    """
    n, m = len(point), len(b)
    x[:] = point
    held, state = np.zeros(n, np.int64), np.zeros(m, np.int64)
    at_bound, at_row, rows = np.zeros(n), np.zeros(m), np.zeros(m, np.int64)
    normal, z, r, G = np.empty(n), np.empty(n), np.empty(m), np.empty((m, m))
    n_rows = 0
    for _ in range(20 * (n + m) + 100):
        which, sign, miss = most_broken(x, lower, upper, A, b, equal, held, state)
        if which < 0:
            return True
        normal[:] = 0.0
        if which < n:
            normal[which] = sign
        else:
            for i in range(n):
                normal[i] = sign * A[which - n, i]
        length = 0.0
        for i in range(n):
            length += normal[i] ** 2
        own = 0.0
        while True:
            size = ways(normal, A, held, rows, n_rows, state, G, r, z)
            full = miss / size if size > DEPENDENT * length else np.inf
            step, drop = full, -1
            for i in range(n):
                # What a bound's multiplier loses: z there is what the active rows leave of the normal.
                loss = -held[i] * z[i]
                if held[i] != 0 and loss > 0.0 and at_bound[i] < step * loss:
                    step, drop = at_bound[i] / loss, i
            for one in range(n_rows):
                if not equal[rows[one]] and r[one] > 0.0 and at_row[one] < step * r[one]:
                    step, drop = at_row[one] / r[one], n + one
            if step == np.inf:
                return False
            for i in range(n):
                if held[i] == 0:
                    if size > DEPENDENT * length:
                        x[i] += step * z[i]
                else:
                    at_bound[i] -= step * -held[i] * z[i]
            for one in range(n_rows):
                at_row[one] -= step * r[one]
            own += step
            if drop < 0:
                break
            if size > DEPENDENT * length:
                miss -= step * size
            if drop < n:
                held[drop] = 0
                at_bound[drop] = 0.0
            else:
                state[rows[drop - n]] = 0
                for one in range(drop - n, n_rows - 1):
                    rows[one], at_row[one] = rows[one + 1], at_row[one + 1]
                n_rows -= 1
        if which < n:
            held[which], at_bound[which] = -sign, own
            x[which] = lower[which] if sign > 0 else upper[which]
        else:
            state[which - n] = sign
            rows[n_rows], at_row[n_rows] = which - n, own
            n_rows += 1
    return False
