"""The ledger: an append-only record of runs, recommendations and who agreed, KPI versions, and reviews.

Its rows form a chain of hashes in a SQLite file, or a PostgreSQL database (`chain`, `schema`); what they say is
folded into states when it is asked for (`states`), so that nothing is ever changed in place.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from .chain import Chain, Row, Verification
from .decisions import Decisions
from .kpi_versions import KpiValue, KpiVersion, KpiVersions
from .replays import Progress, Replay, replay
from .reviews import STEPS, Review, Reviews
from .runs import Runs
from .states import STATES, Decision, RefusedError

if TYPE_CHECKING:
    from ..scenario import Functions

__all__ = [
    "STATES",
    "STEPS",
    "Decision",
    "KpiValue",
    "KpiVersion",
    "Ledger",
    "RefusedError",
    "Replay",
    "Review",
    "Row",
    "Verification",
]


class Ledger:
    """A ledger, open.

    Parameters
    ----------
    where : str or Path
        A SQLite file, or a URL ``postgresql://USER@HOST/DATABASE`` (extra ``postgres``).
    create : bool
        Make the ledger where there is none.

    Attributes
    ----------
    runs : Runs
        What was computed: `record_plan`, `record_batch`, `get`.
    decisions : Decisions
        Who agreed to what: `submit`, `approve`, `reject`, `edit`, `activate`, `rollback`; `all` for a whole run.
    kpis : KpiVersions
        Definitions by version and values: `define`, `rollback`, `record_value`, `value`.
    reviews : Reviews
        Of KPIs that left their reference: `open`, `step`, `close`, `list`.
    chain : Chain
        The rows themselves.

    Raises
    ------
    DataError
        If it cannot be opened, or there is none and none is to be made.
    SpecError
        For a URL of another kind of database.

    Examples
    --------
    >>> import tempfile
    >>> from optimizer.ledger import Ledger
    >>> with tempfile.TemporaryDirectory() as place, Ledger(f"{place}/ledger.db", create=True) as ledger:
    ...     first = ledger.kpis.define("forms", {"direction": "maximize"}, by="ann", reason="as counted now")
    ...     ledger.verify().sound
    True
    """

    def __init__(self, where: str | Path, *, create: bool = False) -> None:
        self.chain = Chain(where, create=create)
        self.runs = Runs(self.chain)
        self.decisions = Decisions(self.chain)
        self.kpis = KpiVersions(self.chain)
        self.reviews = Reviews(self.chain)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the database."""
        self.chain.close()

    def log(self, subject: str | None = None, kinds: tuple[str, ...] | None = None) -> list[Row]:
        """Rows in their order: all, those about a scenario, account, KPI or run, or those of some kinds."""
        wanted: dict[str, Any] = {"subject": subject, "kinds": kinds}
        return list(self.chain.rows(**wanted))

    def verify(self, head: str | None = None) -> Verification:
        """Check that no row was altered; ``head`` is a hash that an earlier check gave and that was noted."""
        return self.chain.verify(head)

    def replay(self, run: str, progress: Progress | None = None, *, functions: Functions | None = None) -> Replay:
        """Compute a run again: the same numbers, or the input that changed.

        KPIs that functions of the user's own compute need them: ``functions`` as for `Scenario.load`.

        Raises
        ------
        DataError
            If the ledger holds no such run.
        """
        return replay(self.runs.get(run), progress, functions)
