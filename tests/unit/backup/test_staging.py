"""Links in an installation: bars behind one are copied, and one that leads out of what is backed up is told."""

from pathlib import Path

from tidegate.backup.places import Installation, Part
from tidegate.backup.staging import links_out, stage_bars


def test_bars_behind_a_link_are_stored_themselves(tmp_path: Path) -> None:
    series, elsewhere = tmp_path / "bars" / "symbol=A" / "interval=1h", tmp_path / "elsewhere"
    for folder in (series, elsewhere, tmp_path / "staging"):
        folder.mkdir(parents=True)
    (elsewhere / "2026-11.parquet").write_text("bars")
    (series / "2026-11.parquet").symlink_to(elsewhere / "2026-11.parquet")
    staged = stage_bars(Part("bars", tmp_path / "bars", Path("data/bars")), tmp_path / "staging")
    file = staged / "symbol=A" / "interval=1h" / "2026-11.parquet"
    assert not file.is_symlink()
    assert file.read_text() == "bars"


def test_links_to_what_is_not_backed_up_are_told(tmp_path: Path) -> None:
    runs, log, archive = (tmp_path / name for name in ("runs", "log", "archive"))
    for folder in (runs / "deep", log, archive):
        folder.mkdir(parents=True)
    (runs / "report").write_text("x")
    (runs / "same").symlink_to(runs / "report")
    (runs / "predictions").symlink_to(log)
    (runs / "deep" / "2025").symlink_to(archive)
    (runs / "gone").symlink_to(tmp_path / "nowhere")
    parts = (Part("runs", runs, Path("runs")), Part("predictions", log, Path("runs/predictions")))
    place = Installation(tmp_path, (), parts, (), (), tmp_path / "staging")
    assert sorted(links_out(place, parts[0])) == [runs / "deep" / "2025", runs / "gone"]
    assert links_out(place, parts[1]) == []
