"""KPIs of the user's own: functions of spend that nobody else knows, checked whenever they are asked.

Such a function is known by its values alone. What it computes is hashed by its source, or where there is none by
its bytecode, together with the defaults and the numbers and texts it closes over; what it calls or reads beside
them is not seen.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import CodeType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .errors import DataError, SpecError

if TYPE_CHECKING:
    from .kpis import Kpi

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class KpiFunction:
    """A Python or numba function as a KPI.

    Parameters
    ----------
    call : callable
        Takes the spend of one plan, (L,) currency over the horizon by line, with free flighting (L, T) by line
        and period, and returns the KPI: one number, or (D,), one for each draw of the scenario's response. It must
        give the same for the same spend.
    many : bool
        It takes many plans at once, (N, L) or (N, L, T), and returns (N,) or (N, D).
    lines : sequence of str, optional
        The lines it takes, in its order; all of the scenario's, in the scenario's order, unless given. With them
        the order of lines in a scenario does not matter.

    Raises
    ------
    SpecError
        If it is no function that can be told from another: give builtins, methods' objects and partial functions
        a ``def`` of their own.
    """

    call: Callable[[Floats], Any]
    many: bool = False
    lines: Sequence[str] | None = None

    def __post_init__(self) -> None:
        if not inspect.isfunction(self._python):
            raise SpecError(f"{self.call!r} is no Python or numba function", "wrap it: def kpi(spend): return ...")
        if self.lines is not None:
            object.__setattr__(self, "lines", tuple(self.lines))

    @property
    def _python(self) -> Any:
        """The function itself, of a numba function what it was compiled from."""
        return getattr(self.call, "py_func", self.call)

    @property
    def name(self) -> str:
        """What the function is called in its module."""
        return str(self._python.__qualname__)

    @property
    def module(self) -> str:
        """The module it is defined in."""
        return str(self._python.__module__)

    @property
    def hashed(self) -> str:
        """What its hash is taken of: its source, or the bytecode where there is none."""
        return "source" if self.text else "bytecode"

    @cached_property
    def text(self) -> str | None:
        """Its source; None where there is none, as for what was typed into a console."""
        try:
            found = textwrap.dedent(inspect.getsource(self._python))
        except (OSError, TypeError):
            return None
        # Where code was made from a text the file it is said to be of may say something else.
        name = self._python.__name__
        return found if ("lambda" if name == "<lambda>" else f"def {name}") in found else None

    @cached_property
    def sha256(self) -> str:
        """Hash of what it computes."""
        function = self._python
        body = self.text or _bytecode(function.__code__)
        cells = [cell.cell_contents for cell in function.__closure__ or ()]
        said = [body, function.__defaults__, function.__kwdefaults__, cells, self.many, self.lines]
        return hashlib.sha256(json.dumps(said, default=_plain, sort_keys=True).encode()).hexdigest()

    def values(self, kpi: str, plans: Floats, lines: Sequence[str], draws: int) -> Floats:
        """Ask for the KPI of plans.

        Parameters
        ----------
        kpi : str
            The KPI's name, for errors.
        plans : (N, L) or (N, L, T)
            Spend in the order of ``lines``; currency.
        lines : sequence of str
            The scenario's lines.
        draws : int
            D.

        Returns
        -------
        (N,) or (N, D)
            KPI units over the horizon.

        Raises
        ------
        DataError
            If the function raises an error, or returns anything but finite numbers of these shapes.
        """
        if self.lines is not None:
            plans = plans[:, [lines.index(name) for name in self.lines]]
        # A copy: the function may write into what it is given.
        asked = np.array(plans, dtype=float, order="C")
        if not len(asked):
            return np.zeros(0)
        if self.many:
            return self._checked(kpi, self._asked(kpi, asked), (len(asked),), draws, plans)
        rows = [self._checked(kpi, self._asked(kpi, plan), (), draws, plans[i]) for i, plan in enumerate(asked)]
        if any(row.shape != rows[0].shape for row in rows):
            raise self._error(kpi, "returned draws for one plan and a single number for another")
        return np.array(rows)

    def _asked(self, kpi: str, spend: Floats) -> Any:
        try:
            return self.call(spend)
        except Exception as error:
            said = next(iter(str(error).strip().splitlines()), "")
            what = f"raised {type(error).__name__}{': ' if said else ''}{said}"
            raise self._error(kpi, what, f"it was given an array of shape {spend.shape}") from error

    def _checked(self, kpi: str, found: Any, shape: tuple[int, ...], draws: int, plans: Floats) -> Floats:
        """What it returned, if that is what it may return."""
        try:
            values = np.asarray(found, dtype=float)
        except (TypeError, ValueError):
            raise self._error(kpi, f"returned {type(found).__name__}, no number") from None
        if values.shape not in (shape, (*shape, draws)):
            wanted = f"{shape} or {(*shape, draws)}" if shape else f"one number or {draws}, one for each draw"
            hint = "" if self.many else "if it takes many plans at once: KpiFunction(f, many=True)"
            raise self._error(kpi, f"returned an array of shape {values.shape}, not {wanted}", hint)
        if not np.isfinite(values).all():
            at = (
                plans[int(np.argmin(np.isfinite(values.reshape(len(values), -1)).all(axis=1)))] if shape else plans
            )
            spend = ", ".join(f"{amount:,.6g}" for amount in at.reshape(len(at), -1).sum(axis=1)[:8])
            raise self._error(
                kpi, f"returned NaN or infinity where lines spend {spend}", "it must hold everywhere"
            )
        return values

    def _error(self, kpi: str, what: str, hint: str = "") -> DataError:
        return DataError(f"the function '{self.name}' {what}", hint, path=("kpis", kpi, "function"))


def bound(
    kpis: Mapping[str, Kpi], given: Mapping[str, Callable[[Floats], Any] | KpiFunction], lines: Sequence[str]
) -> dict[str, KpiFunction]:
    """Return the function of each KPI that has one.

    Parameters
    ----------
    kpis : mapping of str to Kpi
        Definitions by name.
    given : mapping
        Functions by the name that KPIs call them.
    lines : sequence of str
        The scenario's lines.

    Raises
    ------
    SpecError
        If one is missing, or is not the one a resolved scenario was made with, takes a line that is not there, or
        no KPI asks for it.
    """
    found: dict[str, KpiFunction] = {}
    for kpi, spec in kpis.items():
        if spec.function is None:
            continue
        if spec.function not in given:
            raise SpecError(
                f"needs the Python function '{spec.function}', which was not given",
                f"in Python: Scenario.load(file, functions={{'{spec.function}': ...}})",
                path=("kpis", kpi, "function"),
            )
        made = given[spec.function]
        made = made if isinstance(made, KpiFunction) else KpiFunction(made)
        if spec.function_sha256 not in (None, made.sha256):
            raise SpecError(
                f"'{spec.function}' is not the function this scenario was made with",
                f"its SHA-256 is {made.sha256}",
                path=("kpis", kpi, "function_sha256"),
            )
        for line in made.lines or ():
            if line not in lines:
                raise SpecError(
                    f"'{spec.function}' takes the line '{line}', which is not there",
                    f"lines are: {', '.join(lines)}",
                    path=("kpis", kpi, "function"),
                )
        found[kpi] = made
    asked = {spec.function for spec in kpis.values()}
    for name in given:
        if name not in asked:
            raise SpecError(
                f"no KPI has the function '{name}'", f"add it to one: function: {name}", path=("functions", name)
            )
    return found


def stamped(kpis: Mapping[str, Kpi], functions: Mapping[str, KpiFunction]) -> dict[str, Kpi]:
    """Return the definitions with the hash of each KPI's function."""
    hashes = {kpi: {"function_sha256": made.sha256} for kpi, made in functions.items()}
    return {kpi: spec.model_copy(update=hashes.get(kpi)) for kpi, spec in kpis.items()}


def notes(functions: Mapping[str, KpiFunction]) -> list[str]:
    """Return what a reader must know of KPIs that are functions, in words."""
    return [
        f"{kpi}: computed by the function '{made.name}' of the user's own (SHA-256 {made.sha256[:12]} of its "
        f"{made.hashed}). It takes longer than curves, nothing proves a bound on it, and "
        "without the function itself the plan cannot be worked out again."
        for kpi, made in functions.items()
    ]


def told(functions: Mapping[str, KpiFunction]) -> list[dict[str, str]]:
    """Return what a record of a decision says of each function, as plain data."""
    return [
        {
            "kpi": kpi,
            "function": made.name,
            "module": made.module,
            "sha256": made.sha256,
            "of": made.hashed,
            "note": f"Without the function '{made.name}' this cannot be computed again. The hash tells whether "
            "one is the same, but for what it calls or reads beside its arguments.",
        }
        for kpi, made in functions.items()
    ]


def check_sent(functions: Mapping[str, KpiFunction]) -> None:
    """Refuse functions that another process cannot import.

    Raises
    ------
    SpecError
        Naming the first.
    """
    import pickle

    for kpi, made in functions.items():
        try:
            pickle.dumps(made.call)
        except (pickle.PicklingError, AttributeError, TypeError):
            raise SpecError(
                f"the function '{made.name}' cannot be sent to another process",
                "define it at the top of a module that can be imported, or ask for workers=1",
                path=("kpis", kpi, "function"),
            ) from None


def _bytecode(code: CodeType) -> list[Any]:
    """What code does, as plain data."""
    consts = [_bytecode(each) if isinstance(each, CodeType) else _written(each) for each in code.co_consts]
    return [code.co_code.hex(), consts, code.co_names]


def _written(value: Any) -> str:
    """A constant in words; sets in one order."""
    return str(sorted(map(repr, value))) if isinstance(value, frozenset) else repr(value)


def _plain(value: Any) -> Any:
    """What JSON cannot say of what a function closes over: numbers as such, of anything else its type."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return f"{type(value).__module__}.{type(value).__qualname__}"
