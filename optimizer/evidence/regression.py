"""Bayesian regression on saturating, adstocked media, with a stated prior and draws of what the data allow.

For one KPI, over T periods and L lines,

    y[t] = F[t] theta + D[t] delta + sum_l gamma[l] c[l,t] + e[t],       e[t] = phi e[t-1] + noise

where F are the columns of the baseline, c[l,t] = u[l] S(a[l,t]) / mean_t S(a[l,t]) with a shape S from the
line's grid (`shapes`), u[l] the share of the line in all spend, and y is counted in ``media_share`` of the
KPI's mean. ``gamma[l] = 1`` says that the line brings its part, by spend, of what all lines are expected to
bring. Beforehand

- every shape of the grid is as likely as any other, phi as likely to be one as another of `MEMORIES`, and the
  size of the noise is anything;
- gamma[l], never negative, is normal about a common level, with `WIDTHS` times the level (each as likely) as
  standard deviation; the level is lognormal with `LEVEL_SD`, so that all lines together bring ``media_share``
  of the KPI, give or take a factor of two: shrinkage towards equal returns, whose size the data settle. All
  lines together bring no more than a KPI that is never negative has: its baseline is not negative in total;
- theta has the widths of `baseline`, wide ones;
- D are movements of spend that demand may have caused: the common movement of all lines (the first principal
  component of what the baseline leaves of their log spend) and each line's own. delta is normal about zero, so
  that the first may make ``chasing`` standard deviations of the noise, and all lines' own together
  `demand.OWN_CHASING` of that. Without D, budgets that follow demand would pass for budgets that make it; with
  it, a line is judged by what it did when the others did something else, and no amount of data takes the last
  doubt away.

theta and delta are integrated out. A line's shape and size are drawn together, then the widths, the level, phi
and the noise (`kernels_fit.sample`), in `CHAINS` chains that must agree (`agreement`: split R-hat of Gelman et
al., Bayesian Data Analysis, 3rd ed., 11.4).
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..curves import Floats
from .baseline import Baseline
from .demand import chased
from .history import FitSpec
from .shapes import Candidates, GridKind, Ints, candidates

MEMORIES = np.array([0.0, 0.2, 0.4, 0.55, 0.7, 0.8, 0.9, 0.95])
WIDTHS = np.array([0.5, 1.0, 2.0])
LEVEL_SD = 0.7
LEVEL_STEPS = np.linspace(-2.5, 2.5, 41)
CHAINS, BURN, THIN = 4, 600, 30
# Chains that disagree by more are run again, this many times as long, unless told otherwise.
AGREED, LONGER = 1.05, 6


@dataclass(frozen=True)
class Setup:
    """All columns of a regression, whatever the KPI; the first ``known`` of the T + P periods are learned from.

    Attributes
    ----------
    lines : tuple of str
        Those with spend in the known periods.
    media : Candidates
        Of the lines, over all periods.
    free, sd : (T + P, q), (q,)
        Columns of the baseline and their prior standard deviations in those of the KPI, as in `baseline`.
    signed : (T + P, c)
        Controls that can only add.
    demand, demand_sd : (known, e), (e,)
        Movements of spend that demand may have caused, and how large, in those of the noise.
    """

    lines: tuple[str, ...]
    media: Candidates
    free: Floats
    sd: Floats
    signed: Floats
    demand: Floats
    demand_sd: Floats
    known: int


@dataclass(frozen=True)
class System:
    """Products of the columns for each memory, the baseline integrated out.

    Attributes
    ----------
    gram : (R, N, N)
        Of the candidates and signed controls.
    weight : (R,)
        Log of the likelihood's part that no misfit enters.
    parts : list of (U (known, r), s (r,), V (r, q + e)) by memory
        The whitened baseline's singular parts.
    columns : (N, known)
        Candidates, then signed controls.
    freedom : int
        Periods less coefficients that no prior holds.
    """

    gram: Floats
    weight: Floats
    parts: list[tuple[Floats, Floats, Floats]]
    columns: Floats
    freedom: int


@dataclass(frozen=True)
class Draws:
    """What the data allow.

    Attributes
    ----------
    shape : (D, L)
        Candidate of each line, counted over all lines.
    gamma : (D, L)
        Sizes.
    control : (D, c)
        Coefficients of signed controls.
    theta : (D, q)
        Coefficients of the baseline.
    delta : (D, e)
        Coefficients of the movements that demand may have caused.
    variance, memory : (D,)
        Of the noise of a period, given the one before; and how much of it stays.
    level : (D,)
        The lines' common level.
    last : (D,)
        What baseline and lines leave of the last known period.
    agreement : float
        The largest split R-hat of the sizes; 1 where all chains say the same.
    """

    shape: Ints
    gamma: Floats
    control: Floats
    theta: Floats
    delta: Floats
    variance: Floats
    memory: Floats
    level: Floats
    last: Floats
    agreement: float

    def take(self, chosen: Ints) -> Draws:
        """Return these draws, by number; a draw may stand twice."""
        parts = {name: value[chosen] for name, value in vars(self).items() if name != "agreement"}
        return replace(self, **parts)


def assemble(spend: Floats, base: Baseline, lines: Mapping[str, GridKind], spec: FitSpec, known: int) -> Setup:
    """Build a regression on the first ``known`` periods.

    Lines without spend in them, and columns of the baseline that are nothing in them, are left out: nothing can
    be learned of them there.

    Parameters
    ----------
    spend : (L, T)
        Currency a period.
    lines : mapping of str to str
        Their names in the config, in the order of ``spend``, and what each one's curve may be.
    """
    on = np.asarray((spend[:, :known] > 0).any(axis=1))
    used = tuple(name for name, seen in zip(lines, on, strict=True) if seen)
    media = candidates(spend[on], [lines[name] for name in used], spec.period, spec.carryover, known)
    there = (base.free[:known] != 0).any(axis=0)
    demand = chased(spend[on, :known], base.free[:known, there], media, spec.chasing)
    return Setup(used, media, base.free[:, there], base.sd[there], base.signed, *demand, known)


def levels() -> tuple[Floats, Floats]:
    """Values of the common level and their log prior weights, so that the mean size is 1 in the middle."""
    return np.exp(LEVEL_SD * LEVEL_STEPS) / float(np.mean(mean_sizes())), -0.5 * LEVEL_STEPS**2


def mean_sizes() -> Floats:
    """Mean of a normal about 1, above zero, of each of `WIDTHS`: (W,)."""
    from scipy.special import ndtr

    density = np.exp(-0.5 / WIDTHS**2) / np.sqrt(2 * np.pi)
    return np.asarray(1.0 + WIDTHS * density / ndtr(1.0 / WIDTHS))


def whitened(series: Floats, memory: float) -> Floats:
    """Take out of every period what the one before left in it: (..., T)."""
    out = series.copy()
    out[..., 1:] -= memory * series[..., :-1]
    out[..., 0] *= np.sqrt(1.0 - memory**2)
    return out


def system(setup: Setup, stiff: Floats) -> System:
    """Build the products.

    Parameters
    ----------
    stiff : (q,)
        Prior precision of the baseline's coefficients, in noise variances; 0 for none.
    """
    known = setup.known
    columns = np.concatenate([setup.media.columns[:, :known], setup.signed[:known].T])
    grams, weights, parts = [], [], []
    for memory in MEMORIES:
        precision = _precision(setup, stiff, memory)
        left, sizes, right = baseline_parts(setup, stiff, memory)
        white = whitened(columns, memory)
        inside = white @ left
        grams.append(white @ white.T - inside @ inside.T)
        held = precision[precision > 0]
        weights.append(0.5 * np.log1p(-(memory**2)) - np.log(sizes).sum() + 0.5 * np.log(held).sum())
        parts.append((left, sizes, right))
    rank = min(len(parts[0][1]), known)
    freedom = known - (rank - int(np.sum(stiff > 0)) - len(setup.demand_sd))
    return System(np.array(grams), np.array(weights), parts, columns, freedom)


def _precision(setup: Setup, stiff: Floats, memory: float) -> Floats:
    """Prior precision of baseline and demand; demand's is counted in the noise, not in what is new in it."""
    return np.concatenate([stiff, (1.0 - memory**2) / setup.demand_sd**2])


def baseline_parts(setup: Setup, stiff: Floats, memory: float) -> tuple[Floats, Floats, Floats]:
    """The singular parts of baseline and demand, whitened, their prior beside them: see `System.parts`."""
    wide = np.column_stack([setup.free[: setup.known], setup.demand])
    prior = np.diag(np.sqrt(_precision(setup, stiff, memory)))
    left, sizes, right = np.linalg.svd(np.vstack([whitened(wide.T, memory).T, prior]), full_matrices=False)
    kept = sizes > sizes[0] * 1e-10
    return left[: setup.known, kept], sizes[kept], right[kept]


def stiffness(setup: Setup, series: Floats) -> Floats:
    """Prior precision of the baseline's coefficients, in noise variances: (q,).

    The noise is what a plain regression on baseline and media in the middle of their grids leaves. A column
    that is nothing in the known periods cannot be learned; its coefficient is held at zero.
    """
    known = setup.known
    middle = setup.media.columns[setup.media.middle, :known].T
    wide = np.column_stack([setup.free[:known], setup.signed[:known], middle])
    rest = series - wide @ np.linalg.lstsq(wide, series, rcond=1e-10)[0]
    noise = max(float(rest @ rest) / max(known - np.linalg.matrix_rank(wide), 1), 1e-12)
    return np.asarray(noise / (setup.sd * max(float(series.std()), 1e-6)) ** 2)


def ceiling(values: Floats, media_share: float) -> float:
    """The most lines may bring of a KPI, in units of the regression: all of it, where no value is negative."""
    return 1.0 / media_share if values.min() >= 0 else np.inf


def draw(
    setup: Setup, series: Floats, draws: int, seed: int, most: float = np.inf, agreed: float = AGREED
) -> Draws:
    """Draw what a series allows; see the top of this module.

    Parameters
    ----------
    series : (known,)
        The KPI in its units of the regression.
    seed : int
        Random numbers go by it alone: the same for every KPI, so that KPIs that move together in the history
        do so in the draws, and where the data say nothing of a line it is better or worse for all alike.
    most : float
        The most all lines together may bring, in units of the regression.
    agreed : float
        Chains that disagree by more are run again, `LONGER` times as long.
    """
    stiff = stiffness(setup, series)
    found = system(setup, stiff)
    n_lines = len(setup.media.share)
    white = [whitened(series, memory) for memory in MEMORIES]
    whites = [whitened(found.columns, memory) for memory in MEMORIES]
    for thin in (THIN, LONGER * THIN):
        kept = _chains(setup, found, white, whites, float(series.std()), most, draws, thin, seed)
        apart = agreement(kept[1][:, :, :n_lines])
        if apart <= agreed:
            break
    shape, gamma, variance, memory, level = (
        part.reshape(part.shape[0] * part.shape[1], *part.shape[2:])[:draws] for part in kept
    )
    theta, delta, last = _coefficients(setup, found, white, whites, (shape, gamma, variance, memory), series, seed)
    return Draws(
        shape[:, :n_lines],
        gamma[:, :n_lines],
        gamma[:, n_lines:],
        theta,
        delta,
        variance,
        MEMORIES[memory],
        levels()[0][level],
        last,
        apart,
    )


def _chains(
    setup: Setup,
    found: System,
    white: list[Floats],
    whites: list[Floats],
    spread: float,
    most: float,
    draws: int,
    thin: int,
    seed: int,
) -> list[Any]:
    """Run the chains side by side: what `kernels_fit.sample` returns, by draw and chain, starts cut off."""
    from ..kernels_fit import sample

    n_lines, n_controls = len(setup.media.share), setup.signed.shape[1]
    right, total = [], []
    for one, columns, (left, _, _) in zip(white, whites, found.parts, strict=True):
        inside = left.T @ one
        right.append(columns @ one - (columns @ left) @ inside)
        total.append(one @ one - inside @ inside)
    first = np.append(setup.media.first, setup.media.first[-1] + np.arange(1, n_controls + 1)).astype(np.int64)
    own = np.concatenate([np.zeros(n_lines), np.full(n_controls, max(spread, 1e-6))])
    part = np.concatenate([setup.media.share, np.zeros(n_controls)])
    each = -(-draws // CHAINS)
    # As many draws are cut off each chain's start as BURN sweeps make.
    cut = -(-BURN // THIN)
    sweeps = (each + cut) * thin

    def run(chain: int) -> Any:
        rng = np.random.default_rng([seed, chain])
        return sample(
            found.gram,
            np.array(right),
            np.array(total),
            found.weight,
            first,
            np.zeros(len(found.columns)),
            own,
            part,
            most,
            WIDTHS,
            np.zeros(len(WIDTHS)),
            *levels(),
            rng.random((sweeps, 3 * (n_lines + n_controls) + 2)),
            rng.standard_gamma(max(found.freedom, 1) / 2, sweeps),
            each + cut,
        )

    with ThreadPoolExecutor(CHAINS) as pool:
        chains = list(pool.map(run, range(CHAINS)))
    return [np.stack([chain[i][cut:] for chain in chains], axis=1) for i in range(5)]


def _coefficients(
    setup: Setup,
    found: System,
    white: list[Floats],
    whites: list[Floats],
    drawn: tuple[Ints, Floats, Floats, Ints],
    series: Floats,
    seed: int,
) -> tuple[Floats, Floats, Floats]:
    """Coefficients of baseline and demand, and what is left of the last period: (D, q), (D, e), (D,)."""
    shape, gamma, variance, memory = drawn
    wide = np.column_stack([setup.free[: setup.known], setup.demand])
    n_free = setup.free.shape[1]
    rng = np.random.default_rng([seed, CHAINS])
    out, last = np.empty((len(gamma), wide.shape[1])), np.empty(len(gamma))
    noise = rng.standard_normal((len(gamma), wide.shape[1]))
    for d, r in enumerate(memory):
        left, sizes, right = found.parts[r]
        rest = white[r] - gamma[d] @ whites[r][shape[d]]
        middle = (left.T @ rest) / sizes
        # The symmetric root: whichever signs the singular vectors come with, the draw is the same.
        out[d] = right.T @ (middle + np.sqrt(variance[d]) * (right @ noise[d]) / sizes)
        last[d] = series[-1] - wide[-1, :n_free] @ out[d, :n_free] - gamma[d] @ found.columns[shape[d], -1]
    return out[:, :n_free], out[:, n_free:], last


def agreement(draws: Floats) -> float:
    """The largest split R-hat of draws (D, chains, L): every chain is halved, and all halves are compared."""
    half = len(draws) // 2
    if half < 2 or not draws.shape[2]:
        return 1.0
    parts = np.concatenate([draws[:half], draws[half : 2 * half]], axis=1)
    within = parts.var(axis=0, ddof=1).mean(axis=0)
    between = half * parts.mean(axis=0).var(axis=0, ddof=1)
    moved = within > 0
    ratio = ((half - 1) / half * within[moved] + between[moved] / half) / within[moved]
    return float(np.sqrt(ratio.max())) if moved.any() else 1.0
