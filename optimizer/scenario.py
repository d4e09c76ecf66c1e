"""A planning problem as a file states it: read, checked, frozen, and resolved with everything spelled out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from . import delay, documents, functions, preferences, proxies, response, variants
from .constraints import Polyhedron
from .documents import Document
from .errors import OptimizerError, SpecError
from .functions import KpiFunction
from .horizon import at_horizon
from .kpi_tree import KpiTree
from .markup import Block, card, figure
from .response import ResponseModel
from .rules import compile_rules
from .stated import ScenarioSpec, check_flighting, shares_of
from .written import from_file, from_spec, without_held_out

Floats = NDArray[np.float64]
# Share of the draws that are held out where a mean over the worst is an objective, unless told otherwise.
HELD_OUT = 0.33
# Functions of the user's own, by the name that KPIs call them.
Functions = Mapping[str, Callable[[Floats], Any] | KpiFunction]


@dataclass(frozen=True)
class Scenario:
    """A checked scenario; make one with `Scenario.load` or `Scenario.from_dict`.

    Attributes
    ----------
    spec : ScenarioSpec
        The file's content, defaults filled in.
    tree : KpiTree
        KPI definitions and formulas.
    objectives : tuple of str
        The KPIs to optimise.
    response : ResponseModel
        Curves, for the additive KPIs and the lines in the scenario's order.
    polyhedron : Polyhedron
        The rules.
    notes : tuple of str
        What was assumed, and what the evidence cannot tell.
    directory : Path
        Where its response file is looked for.
    base : Scenario or None
        The scenario it is a variant of, whose scale it is on.
    functions : mapping
        Functions of the user's own, by KPI.
    fresh : ResponseModel or None
        The same curves by the draws that were held out: no search sees them.
    """

    spec: ScenarioSpec
    tree: KpiTree
    objectives: tuple[str, ...]
    response: ResponseModel
    polyhedron: Polyhedron
    notes: tuple[str, ...]
    directory: Path
    base: Scenario | None = None
    functions: Mapping[str, KpiFunction] = field(default_factory=dict)
    fresh: ResponseModel | None = None

    @classmethod
    def load(cls, path: str | Path, *, functions: Functions | None = None) -> Scenario:
        """Read and check a scenario file, or a file of one variant of another (``base`` and overrides).

        Parameters
        ----------
        path : str or Path
            The file.
        functions : mapping, optional
            What KPIs with a ``function`` are computed by, under the name they call it: `KpiFunction`, or a
            function of one plan's spend, (L,) by line or with free flighting (L, T), that returns one number.

        Raises
        ------
        SpecError
            For anything unclear or impossible, with the field's path, the line and a hint.
        DataError
            If the response file it names cannot be used.
        """
        document = documents.read(path)
        if any(key in document.data for key in variants.SEVERAL):
            raise document.locate(SpecError("the file is about several scenarios", "give it to 'compare'"))
        return cls._read(document, Path(path).parent, functions)[-1]

    @classmethod
    def load_all(cls, path: str | Path, *, functions: Functions | None = None) -> list[Scenario]:
        """Read a file about one scenario or several: the scenario, or the base and its variants.

        ``functions`` are as for `load`.

        Raises
        ------
        SpecError, DataError
            As for `load`.
        """
        return cls._read(documents.read(path), Path(path).parent, functions)

    @classmethod
    def _read(cls, document: Document, directory: Path, given: Functions | None) -> list[Scenario]:
        if "base" not in document.data:
            return [cls._from_document(document, directory, given)]
        file = documents.check(document, variants.VariantFile)
        try:
            changes = variants.changes(file)
        except SpecError as error:
            raise document.locate(error) from None
        below = documents.read(directory / file.base)
        if "base" in below.data:
            what = f"'{file.base}' is a variant itself"
            raise document.locate(SpecError(what, "name the scenario it varies", path=("base",)))
        base = cls._from_document(below, (directory / file.base).parent, given)
        found = [base]
        for change in changes:
            blocks = variants.beside(change.blocks, directory, base.directory)
            try:
                found.append(base._vary(replace(change, blocks=blocks)))
            except OptimizerError as error:
                raise change.locate(error, document, below) from None
        return found

    @classmethod
    def from_dict(
        cls, data: Mapping[str, Any], directory: str | Path = ".", *, functions: Functions | None = None
    ) -> Scenario:
        """Check a scenario given as plain data; ``directory`` is where its response file is looked for.

        ``functions`` are as for `load`.
        """
        return cls._from_document(Document(dict(data)), Path(directory), functions)

    def restated(self, data: Mapping[str, Any]) -> Scenario:
        """Return a scenario of other plain data, with the response file and the functions of this one."""
        named = {str(self.spec.kpis[kpi].function): made for kpi, made in self.functions.items()}
        return type(self).from_dict(data, self.directory, functions=named)

    @classmethod
    def _from_document(cls, document: Document, directory: Path, given: Functions | None) -> Scenario:
        spec = documents.check(document, ScenarioSpec)
        try:
            scenario = cls._build(spec, directory, given or {})
            if spec.hash is not None and spec.hash != scenario.hash:
                raise SpecError(
                    "the content was changed after it was resolved", "remove the 'hash' line", path=("hash",)
                )
        except OptimizerError as error:
            raise document.locate(error) from None
        return scenario

    @classmethod
    def _build(cls, spec: ScenarioSpec, directory: Path, given: Functions) -> Scenario:
        names = [line.name for line in spec.lines]
        made = functions.bound(spec.kpis, given, names)
        spec = spec.model_copy(update={"kpis": functions.stamped(proxies.settled(spec.kpis, directory), made)})
        tree = KpiTree(spec.kpis)
        objectives = preferences.objectives(spec.kpis, spec.preferences)
        check_flighting(spec)
        notes: tuple[str, ...] = ()
        if spec.response.file is None:
            model = from_spec(spec.response, tree.leaves, names)
        else:
            model = from_file(spec.response, tree.leaves, names, directory)
            model, notes = at_horizon(model, spec.horizon)
        spec, model, fresh = _held_out(spec, model, tree, objectives)
        polyhedron = compile_rules(spec.lines, spec.constraints, shares_of(spec), spec.flighting == "free")
        fitted = model.draws > 1 and "history_sha256" in model.attributes
        own = any(tree.rests_on(name) & made.keys() for name in (*objectives, *spec.preferences.floors))
        tails = any(name in tree.tails for name in objectives)
        free = spec.flighting == "free"
        caution = preferences.caution_of(spec.preferences, free, bool(model.synergy), own, tails, fitted)
        stated = spec.preferences.model_copy(update={"caution": caution})
        spec = spec.model_copy(update={"preferences": stated})
        waived = proxies.notes(spec.kpis, objectives)
        notes = (*waived, *spec.notes, *model.notes, *notes, *delay.notes(spec, model), *functions.notes(made))
        return cls(spec, tree, objectives, model, polyhedron, notes, directory, functions=made, fresh=fresh)

    @property
    def name(self) -> str:
        """The scenario's name."""
        return self.spec.name

    @property
    def lines(self) -> tuple[str, ...]:
        """Line names, in the file's order."""
        return tuple(line.name for line in self.spec.lines)

    @cached_property
    def current(self) -> Floats:
        """Today's spend by line: (L,) currency over the horizon."""
        return np.array([line.current for line in self.spec.lines])

    @cached_property
    def broken_packages(self) -> dict[int, float]:
        """Lines, by position, whose spend today is no whole number of packages: currency to the nearest."""
        switches = self.polyhedron.switches
        missed = np.zeros(len(self.lines)) if switches is None else switches.missed(self.current)
        return {int(i): float(missed[i]) for i in np.flatnonzero(missed > 1e-6 * self.current)}

    @cached_property
    def shares(self) -> Floats:
        """Share of each line's total spend by period: (L, T); with free flighting that of today's plan, even."""
        return shares_of(self.spec)

    @property
    def free(self) -> bool:
        """Whether a plan says how each line's spend is spread over the periods."""
        return self.spec.flighting == "free"

    @cached_property
    def today(self) -> Floats:
        """Today's plan as plans are under this scenario: (L,), or (L, T) with free flighting; currency."""
        return self.current[:, None] * self.shares if self.free else self.current

    @cached_property
    def price(self) -> Floats:
        """What one unit of media costs: (L, T) currency."""
        periods = self.spec.horizon.periods
        return np.array([np.broadcast_to(line.price, periods) for line in self.spec.lines])

    @cached_property
    def history(self) -> Floats:
        """Spend just before the horizon, the latest last: (L, H) currency; a line's own before the response's."""
        known = [line.history for line in self.spec.lines]
        length = max(self.response.history.shape[1], *(len(past or []) for past in known))
        found = np.zeros((len(known), length))
        for row, fitted, past in zip(found, self.response.history, known, strict=True):
            spend = fitted if past is None else np.array(past)
            row[length - len(spend) :] = spend
        return found

    @cached_property
    def season(self) -> Floats:
        """How effective all lines are for each additive KPI by period: (K, T)."""
        periods = self.spec.horizon.periods
        stated = [self.spec.kpis[name].season for name in self.tree.leaves]
        return np.array([values or [1.0] * periods for values in stated]).reshape(-1, periods)

    @cached_property
    def delay(self) -> NDArray[np.int64]:
        """Periods by which all effects on each additive KPI come later than the response says: (K,)."""
        return np.array([self.spec.kpis[name].delay or 0 for name in self.tree.leaves], dtype=np.int64)

    @cached_property
    def baseline(self) -> Floats:
        """Each additive KPI over the horizon without any line: (D, K) KPI units."""
        total = self.response.baseline.sum(axis=2)
        for k, name in enumerate(self.tree.leaves):
            stated = self.spec.kpis[name].baseline
            if stated is not None:
                total[:, k] = stated
        return total

    def resolved(self) -> dict[str, Any]:
        """Return the scenario as plain data with every default spelled out, and its content ``hash``.

        The result loads again (`from_dict`, or written as YAML) and plans the same.

        Raises
        ------
        SpecError
            If the scale is the payoff table of the base and not yet computed.
        """
        if self._scale_below():
            raise SpecError(
                "the scale of this variant is its base's payoff table, not yet computed", "resolve plan.scenario"
            )
        data = self._content()
        if self.spec.response.file is not None:
            data["response"]["file"] = self.spec.response.file
        data["hash"] = self.hash
        return data

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the resolved content; a response file counts by its own hash, not by where it lies."""
        text = json.dumps(self._content(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()

    def _content(self) -> dict[str, Any]:
        data = self.spec.model_dump(mode="json", exclude_none=True, exclude={"hash"})
        for name in data["kpis"]:
            data["kpis"][name]["role"] = self.role(name)
            if name in self.tree.leaves and self.spec.response.file is None:
                data["kpis"][name].setdefault("baseline", 0.0)
        if self.spec.response.file is not None:
            del data["response"]["file"]
            data["response"]["sha256"] = response.file_hash(self.directory / self.spec.response.file)
        if self.base is not None and self._scale_below():
            data["base"] = self.base.hash
        return data

    def _scale_below(self) -> bool:
        """Whether the base has yet to say what this variant's scale is."""
        scale = self.spec.preferences.scale
        return self.base is not None and any(scale.get(name) == "payoff" for name in self.objectives)

    def role(self, name: str) -> str:
        """Return a KPI's role: as stated, else from its place in the preferences."""
        stated = self.spec.kpis[name].role
        if stated is not None:
            return stated
        if name in self.objectives:
            return "objective"
        return "guardrail" if name in self.spec.preferences.floors else "monitor"

    def _repr_html_(self) -> str:
        import pandas as pd

        spec = self.spec
        horizon, budget = spec.horizon, spec.constraints.budget
        kind = "exactly" if budget.total is not None else "at most"
        said = spec.preferences.model_dump(mode="json", exclude_defaults=True)
        lines = [
            f"{horizon.periods} {horizon.every}s from {horizon.start}; budget {kind} {figure(budget.amount)} "
            f"{spec.currency}; {self.response.draws} draws.",
            *(f"{name}: {value}" for name, value in said.items()),
            *self.notes,
        ]
        kpis = [(name, kpi.direction or "", kpi.unit, self.role(name)) for name, kpi in spec.kpis.items()]
        table = pd.DataFrame({"line": self.lines, "current": self.current}).set_index("line")
        table["min"], table["max"] = zip(*((line.min, line.max) for line in spec.lines), strict=True)
        head = pd.DataFrame(kpis, columns=["kpi", "direction", "unit", "role"]).set_index("kpi")
        return card(f"Scenario: {self.name}", lines, [Block("KPIs", head), Block("Lines", table.astype(float))])

    def with_scale(self, scale: Mapping[str, tuple[float, float] | Literal["payoff"]]) -> Scenario:
        """Return the scenario with these scales pinned to ``(worst, best)``, or left to the payoff table."""
        data = self.spec.model_dump(exclude_none=True, exclude={"hash"})
        pinned = {name: ends if ends == "payoff" else [float(end) for end in ends] for name, ends in scale.items()}
        data["preferences"]["scale"] = {**data["preferences"]["scale"], **pinned}
        return replace(self.restated(data), base=self.base)

    def with_limits(self, limits: Mapping[str, tuple[float, float]]) -> Scenario:
        """Return the scenario with the least and the most that these lines may get, currency over the horizon.

        Raises
        ------
        SpecError
            If a line is not in the scenario, or its least is more than its most.
        """
        if unknown := limits.keys() - set(self.lines):
            raise SpecError(f"there is no line '{min(unknown)}'", f"lines are: {', '.join(self.lines)}")
        data = self.spec.model_dump(exclude_none=True, exclude={"hash"})
        for i, line in enumerate(self.lines):
            if line in limits:
                data["lines"][i] |= dict(zip(("min", "max"), map(float, limits[line]), strict=True))
        spec = documents.check(Document(data), ScenarioSpec)
        rules = compile_rules(spec.lines, spec.constraints, shares_of(spec), self.free)
        return replace(self, spec=spec, polyhedron=rules)

    def variant(
        self,
        name: str,
        *,
        budget: float | None = None,
        preferences: Mapping[str, Any] | None = None,
        constraints: Mapping[str, Any] | None = None,
        response: Mapping[str, Any] | None = None,
    ) -> Scenario:
        """Return the scenario with some things said otherwise, kept on this one's scale.

        Parameters
        ----------
        name : str
            What the variant is called.
        budget : float, optional
            Multiplies the budget: 1.1 is ten percent more.
        preferences, constraints, response : mapping, optional
            Overrides of these blocks as a scenario file writes them; see `variants.merged` for how they are
            merged. None as a value takes out what this scenario says.

        Returns
        -------
        Scenario
            Scales given as ``payoff`` are those of this scenario (its ``base``), whatever the variant changes.

        Raises
        ------
        SpecError, DataError
            As for `load`.
        """
        given = {"budget": budget, "preferences": preferences, "constraints": constraints, "response": response}
        said = {block: value for block, value in given.items() if value is not None}
        documents.check(Document({"name": name, **said}), variants.VariantSpec)
        return self._vary(variants.Change(name, said))

    def _vary(self, change: variants.Change) -> Scenario:
        data = variants.merged(self.spec.model_dump(exclude_none=True, exclude={"hash"}), change)
        return replace(self.restated(data), base=self)


def _held_out(
    spec: ScenarioSpec, model: ResponseModel, tree: KpiTree, objectives: tuple[str, ...]
) -> tuple[ScenarioSpec, ResponseModel, ResponseModel | None]:
    """What is held out of the draws, spelled out in the specification; the draws used, and those that are not."""
    for name in tree.tails:
        if model.draws == 1:
            raise SpecError(
                "the curves come with one draw, so none is the worst",
                "take curves from a fitted file",
                path=("kpis", name, "cvar"),
            )
    share = spec.response.held_out
    if share is None and any(name in tree.tails for name in objectives):
        share = HELD_OUT
    if share is None:
        return spec, model, None
    said = spec.response.model_copy(update={"held_out": share})
    return spec.model_copy(update={"response": said}), *without_held_out(model, share)
