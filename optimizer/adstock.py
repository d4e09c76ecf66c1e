"""Carry-over: how the media of one period goes on working in the next ones.

``a[t] = sum_j w[j] m[t - j]`` with ``j`` the lag in periods and ``n`` the adstock's length:

=============  =========================================================================================
geometric      ``rate^j``
delayed        ``rate^((j - delay)^2)`` (Jin et al. 2017; PyMC-Marketing ``delayed_adstock``)
binomial       ``(1 - j / n)^(1 / rate - 1)`` (Google Meridian ``adstock_hill``)
weibull_pdf    density at ``j + 1``, from its least to its greatest in the window to 0 .. 1 (Robyn, PyMC-Marketing)
weibull_cdf    ``prod_{i=1..j} (1 - F(i))`` with F the Weibull distribution (Robyn, PyMC-Marketing)
=============  =========================================================================================

Robyn states a Weibull's scale as a quantile of its window; here it is in periods.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from .documents import Spec
from .errors import SpecError

Floats = NDArray[np.float64]
MAX_LENGTH = 104
# No carry-over is a geometric adstock of length 1.
KINDS = {"geometric": 0, "delayed": 1, "binomial": 2, "weibull_pdf": 3, "weibull_cdf": 4}
KIND_NAMES = {code: name for name, code in KINDS.items()}


class Adstock(Spec):
    """How an effect carries over: ``a[t] = sum_j w[j] m[t - j]``.

    ``length`` counts the periods an effect lasts, the period of spending included. Normalised weights sum to
    one, so that steady spend of 100 a period is adstocked media of 100 a period. ``rate`` belongs to the kinds
    geometric, delayed and binomial, ``delay`` (periods until the peak) to delayed, ``scale`` (periods) and
    ``shape`` to the Weibull kinds. ``after_saturation`` lets effects carry over instead of media: each period's
    media saturates by itself first.
    """

    kind: Literal["none", "geometric", "delayed", "binomial", "weibull_pdf", "weibull_cdf"] = "none"
    rate: Annotated[float, Field(ge=0, lt=1)] = 0.0
    length: Annotated[int, Field(ge=1, le=MAX_LENGTH)] = 1
    delay: Annotated[float, Field(ge=0, lt=MAX_LENGTH)] | None = None
    scale: Annotated[float, Field(ge=0.01, le=1e4)] | None = None
    shape: Annotated[float, Field(gt=0, le=20)] | None = None
    normalised: bool = True
    after_saturation: bool = False

    @model_validator(mode="after")
    def _fits(self) -> Self:
        weibull = ("weibull_pdf", "weibull_cdf")
        wanted = {"delay": ("delayed",), "scale": weibull, "shape": weibull}
        for name, kinds in wanted.items():
            given = getattr(self, name) is not None
            if given and self.kind not in kinds:
                raise SpecError(
                    f"a {self.kind} adstock has no {name}", f"it belongs to: {', '.join(kinds)}", path=(name,)
                )
            if not given and self.kind in kinds:
                raise SpecError(f"a {self.kind} adstock needs its {name}", "add it", path=(name,))
        if self.delay is not None and self.delay > self.length - 1:
            raise SpecError(
                f"a peak after {self.delay:g} periods lies outside a length of {self.length}",
                "make the length longer",
                path=("delay",),
            )
        return self

    def parameters(self) -> tuple[int, int, float, float, float]:
        """Return kind code, length, rate, spread and bend; see `weights`."""
        if self.kind == "none":
            return KINDS["geometric"], 1, 0.0, 1.0, 1.0
        spread = self.delay if self.delay is not None else self.scale
        return (
            KINDS[self.kind],
            self.length,
            self.rate,
            1.0 if spread is None else spread,
            1.0 if self.shape is None else self.shape,
        )


def is_weibull(kinds: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which of these kinds have a scale and a shape."""
    return np.isin(kinds, [KINDS["weibull_pdf"], KINDS["weibull_cdf"]])


def weights(kind: int, length: int, rate: Floats, spread: Floats, bend: Floats, normalised: bool) -> Floats:
    """Adstock weights of one KPI and line, by draw.

    Parameters
    ----------
    kind : int
        One of `KINDS`.
    length : int
        Periods an effect lasts, the period of spending included.
    rate, spread, bend : (D,)
        Rate; delay or Weibull scale in periods; Weibull shape.

    Returns
    -------
    (D, length)
        The current period first.
    """
    lag = np.arange(length, dtype=np.float64)
    rate, spread, bend = rate[:, None], spread[:, None], bend[:, None]
    found: Floats
    if kind == KINDS["geometric"]:
        found = rate**lag
    elif kind == KINDS["delayed"]:
        found = rate ** ((lag - spread) ** 2)
    elif kind == KINDS["binomial"]:
        # A rate of 0 makes an infinite power: all in the first period.
        with np.errstate(divide="ignore"):
            found = (1.0 - lag / length) ** (1.0 / rate - 1.0)
    elif kind == KINDS["weibull_pdf"]:
        t = (lag + 1) / spread
        density = bend / spread * t ** (bend - 1.0) * np.exp(-(t**bend))
        low, high = density.min(axis=1, keepdims=True), density.max(axis=1, keepdims=True)
        # A flat density (a window of one period, for one) leaves all in the first period, as Robyn has it.
        flat = high == low
        found = np.where(flat, (lag == 0).astype(float), (density - low) / np.where(flat, 1.0, high - low))
    else:
        staying = np.exp(-((lag / spread) ** bend))
        found = np.multiply.accumulate(staying, axis=1)
    total = found.sum(axis=1, keepdims=True)
    # Where nothing is left of any weight in a double, there is nothing to make a sum of one from.
    return found / np.where(total > 0, total, 1.0) if normalised else found
