"""The backtest, in Python and on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from fit_worlds import own_world

from optimizer.cli import main
from optimizer.errors import DataError
from optimizer.evidence.backtest import backtest, summary


def test_every_origin_with_room_is_forecast() -> None:
    world = own_world(2)
    heard: list[float] = []
    found = backtest(world.history, world.spec, heard.append)
    periods = len(world.history.dates)
    table = found["sales"].table
    assert table["origin"].max() == periods - 8
    assert table.groupby("origin").size().eq(8).all()
    assert table["origin"].min() < 40
    assert heard == [1.0]
    row = summary(found).loc["sales"]
    assert row["origins"] == table["origin"].nunique()
    assert row["skill, without media"] == pytest.approx(1 - row["error"] / row["without media"])
    assert 0 <= row["periods in 80%"] <= 1


def test_too_short_a_history() -> None:
    world = own_world(2, season=0)
    history = world.history
    short = type(history)(
        **{**vars(history), **{name: getattr(history, name).iloc[:24] for name in ("spend", "kpis")}}
    )
    with pytest.raises(DataError, match="too few"):
        backtest(type(short)(**{**vars(short), "dates": history.dates[:24]}), world.spec)


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = own_world(2)
    table = world.history.spend.join(world.history.kpis).rename_axis("date").reset_index()
    table.to_csv(tmp_path / "h.csv", index=False)
    lines = "".join(f"  {name}: {{spend: {name}}}\n" for name in world.history.spend)
    config = f"date: date\nperiod: week\nlines:\n{lines}kpis:\n  sales: {{column: sales}}\n"
    (tmp_path / "fit.yaml").write_text(config + "checks: {decision: 2030-01-01}\n")
    given = ["check", str(tmp_path / "h.csv"), "--config", str(tmp_path / "fit.yaml")]
    assert main(given) == 0
    assert "Skill" not in capsys.readouterr().out
    assert main([*given, "--backtest"]) == 0
    said = capsys.readouterr().out
    assert "8 weeks ahead at the spend that happened" in said
    assert "Skill: the share" in said
    assert main(["check", str(tmp_path / "scenario.yaml"), "--backtest"]) == 2
    assert "needs a history" in capsys.readouterr().err
