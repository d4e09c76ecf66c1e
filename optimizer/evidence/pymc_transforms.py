"""What PyMC-Marketing makes of spend: its adstocks and saturations in NumPy, and our curves for them.

Formulas: PyMC-Marketing, ``mmm.transformers``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..curves import Floats
from .recompute import hill

# Parameters of each adstock: those in the place of our rate, spread and bend; and what its length is beyond l_max.
ADSTOCKS: dict[str, tuple[dict[str, str], int]] = {
    "no_adstock": ({}, 0),
    "geometric": ({"rate": "alpha"}, 0),
    "delayed": ({"rate": "alpha", "spread": "theta"}, 0),
    "weibull_pdf": ({"spread": "lam", "bend": "k"}, 0),
    "weibull_cdf": ({"spread": "lam", "bend": "k"}, 1),
}
HALF_LOGISTIC, HALF_TANH = float(np.log(3.0)), float(np.arctanh(0.5))


@dataclass(frozen=True)
class Saturation:
    """One of the library's saturations.

    Attributes
    ----------
    parameters : tuple of str
        Their names.
    formula : callable
        Effect of scaled, adstocked spend (D, T) under these parameters (D,).
    family : str
        Our curve.
    curve : callable
        Its scale, first and second parameter in scaled units, each (D, L).
    """

    parameters: tuple[str, ...]
    formula: Callable[..., Floats]
    family: str
    curve: Callable[..., tuple[Floats, Floats, Floats]]


def _column(values: Floats) -> Floats:
    return values[:, None]


def _logistic(a: Floats, lam: Floats, beta: Floats) -> Floats:
    decay = np.exp(-_column(lam) * a)
    return _column(beta) * (1 - decay) / (1 + decay)


SATURATIONS = {
    "logistic": Saturation(
        ("lam", "beta"), _logistic, "logistic", lambda lam, beta: (beta, HALF_LOGISTIC / lam, np.ones_like(lam))
    ),
    "inverse_scaled_logistic": Saturation(
        ("lam", "beta"),
        lambda a, lam, beta: _logistic(a, HALF_LOGISTIC / lam, beta),
        "logistic",
        lambda lam, beta: (beta, lam, np.ones_like(lam)),
    ),
    "tanh": Saturation(
        ("b", "c"),
        lambda a, b, c: _column(b) * np.tanh(a / _column(b * c)),
        "tanh",
        lambda b, c: (b, HALF_TANH * b * c, np.ones_like(b)),
    ),
    "michaelis_menten": Saturation(
        ("alpha", "lam"),
        lambda a, alpha, lam: _column(alpha) * a / (_column(lam) + a),
        "michaelis_menten",
        lambda alpha, lam: (alpha, lam, np.ones_like(lam)),
    ),
    "hill": Saturation(
        ("slope", "kappa", "beta"),
        lambda a, slope, kappa, beta: _column(beta) * hill(a, kappa, slope),
        "hill",
        lambda slope, kappa, beta: (beta, kappa, slope),
    ),
    "root": Saturation(
        ("alpha", "beta"),
        lambda a, alpha, beta: _column(beta) * a ** _column(alpha),
        "power",
        lambda alpha, beta: (beta, np.ones_like(alpha), alpha),
    ),
    "no_saturation": Saturation(
        ("beta",),
        lambda a, beta: _column(beta) * a,
        "linear",
        lambda beta: (beta, np.ones_like(beta), np.ones_like(beta)),
    ),
}


def weights(kind: str, length: int, normalised: bool, draws: int, **given: Floats) -> Floats:
    """The library's adstock weights, in its own words: (D, J).

    Parameters
    ----------
    length : int
        Periods, what `ADSTOCKS` adds to ``l_max`` included.
    **given : (D,)
        ``rate``, ``spread`` and ``bend``, those the kind has.
    """
    lag = np.arange(length, dtype=float)
    carry = {name: _column(values) for name, values in given.items()}
    if kind == "geometric":
        found = carry["rate"] ** lag
    elif kind == "delayed":
        found = carry["rate"] ** ((lag - carry["spread"]) ** 2)
    elif kind == "weibull_pdf":
        lam, k, t = carry["spread"], carry["bend"], lag + 1
        density = k / lam * (t / lam) ** (k - 1) * np.exp(-((t / lam) ** k))
        low, high = density.min(axis=1, keepdims=True), density.max(axis=1, keepdims=True)
        found = (density - low) / (high - low)
    elif kind == "weibull_cdf":
        survival = np.exp(-((lag[1:] / carry["spread"]) ** carry["bend"]))
        found = np.cumprod(np.column_stack([np.ones(draws), survival]), axis=1)
    else:
        found = np.ones((draws, 1))
    return found / found.sum(axis=1, keepdims=True) if normalised else found
