"""Where a restored folder is put: below the place that was named, whatever links an outer folder brought along."""

from pathlib import Path

import pytest

from tidegate.backup.manifest import Contents
from tidegate.backup.restore import _place_folder


def part(name: str, path: Path, home: str) -> Contents:
    return Contents.model_validate({"name": name, "path": str(path), "home": home, "files": 1, "bytes": 1})


@pytest.mark.parametrize("target", ["/nowhere", None], ids=["dangling", "to what is live"])
def test_a_link_to_where_a_part_lay_is_not_followed(tmp_path: Path, target: str | None) -> None:
    live = tmp_path / "live log"
    live.mkdir()
    (live / "rows").write_text("newer")
    raw, to = tmp_path / "raw", tmp_path / "to"
    for path, text in ((raw / "old/runs/report", "report"), (raw / "old/elsewhere/log/rows", "older")):
        path.parent.mkdir(parents=True)
        path.write_text(text)
    (raw / "old/runs/predictions").symlink_to(target or live)
    _place_folder(part("runs", Path("/old/runs"), "runs"), raw, to)
    _place_folder(part("predictions", Path("/old/elsewhere/log"), "runs/predictions"), raw, to)
    assert (to / "runs/report").read_text() == "report"
    assert (to / "runs/predictions/rows").read_text() == "older"
    assert not (to / "runs/predictions").is_symlink()
    assert (live / "rows").read_text() == "newer"
