"""All that is wrong with a history in one report: what `history.load_history` stops at, and what it lets pass.

=============  =======  ===============================================================================
rule           level    what it finds
=============  =======  ===============================================================================
schema         error    columns that are missing or there twice, cells that are no number or date
blank          error    blank cells where the config states no ``blank: zero``; a note where it does
negative       error    spend below zero
duplicate      error    a date twice (long files: a date and line)
gap            error    dates without a row, between the first and the last
alignment      error    weeks that begin on another day than most
leakage        error    rows dated after the decision, values recorded after it
ratio          error    a KPI above one it can never be above
currency       error    rows in another currency
constant       error    a line without any spend, a KPI or control that never varies
same           error    long files: a KPI or control that differs within a date
fixed          warning  a line that always spends the same
off            warning  a line switched off at the end
fresh          warning  data that end long before the decision
proxy          warning  a control that moves exactly as a KPI does
=============  =======  ===============================================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pandas as pd

from .. import documents
from ..errors import SpecError
from .check_data import Finding, read_data
from .check_rules import RULES
from .history import FitSpec


@dataclass(frozen=True)
class Report:
    """All findings of a file, errors first."""

    file: str
    rows: int
    findings: tuple[Finding, ...]

    @property
    def failed(self) -> bool:
        """Whether there is an error among them."""
        return any(finding.level == "error" for finding in self.findings)

    def table(self) -> pd.DataFrame:
        """One row a finding."""
        names = ("level", "rule", "place", "message", "hint", "rows")
        return pd.DataFrame([{name: getattr(one, name) for name in names} for one in self.findings], columns=names)


def check(history: str | Path, config: str | Path, *, today: date | None = None) -> Report:
    """Check a history against its fit config and find everything at once.

    Parameters
    ----------
    history : path
        CSV or Parquet.
    config : path
        The fit config, YAML; its block ``checks`` says what the columns alone do not.
    today : date, optional
        Stands for the decision where the config states none; the present day unless given.

    Raises
    ------
    SpecError
        If the config is not usable, or its filter keeps no row.
    DataError
        If the file is no table at all.
    """
    document = documents.read(config)
    path = Path(history)
    try:
        spec = documents.check(document, FitSpec)
        data = read_data(path, spec, document, today or date.today())
    except SpecError as error:
        raise document.locate(error) from None
    for rule in RULES:
        rule(data)
    order = ("error", "warning", "note")
    found = sorted(data.findings, key=lambda finding: order.index(finding.level))
    return Report(str(path), len(data.table.places), tuple(found))
