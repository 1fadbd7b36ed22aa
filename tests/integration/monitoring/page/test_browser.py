"""The page in a real browser: it fits a phone's width, and its policy lets its own script run and no other."""

import html
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from tests import monitoring_records
from tests.unavailable import unavailable

from tidegate.monitoring.page.page import render

FOREIGN = "<script>document.body.dataset.foreign = 'ran'</script>"
POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')
MEASURE = """<script>addEventListener("load", () => {
  document.title = [...document.querySelectorAll("iframe")].map((frame) => {
    const page = frame.contentDocument;
    const root = page.documentElement;
    return [frame.contentWindow.innerWidth, root.scrollWidth, page.querySelectorAll("thead button").length, page.body.dataset.foreign ?? "no"];
  }).join(";");
});</script>"""


@pytest.fixture(scope="module")
def chromium() -> str:
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        unavailable("chromium is not installed")
    return found


def measured(chromium: str, folder: Path, pages: list[str]) -> list[list[str]]:
    """Width, width needed, sort buttons and what a foreign script did, of pages in frames as wide as a phone."""
    frames = "".join(
        f'<iframe style="width:390px;height:800px;border:0" srcdoc="{html.escape(page)}"></iframe>' for page in pages
    )
    path = folder / "page.html"
    path.write_text(f'<!doctype html><meta charset="utf-8"><title></title>{frames}{MEASURE}', encoding="utf-8")
    command = [
        chromium, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}", "--window-size=1280,900",
        "--dump-dom", f"file://{path}",
    ]  # fmt: skip
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    found = re.search(r"<title>(.*?)</title>", done.stdout)
    assert found is not None
    return [part.split(",") for part in found[1].split(";")]


@pytest.mark.slow
def test_nothing_sticks_out_of_a_phone_and_no_foreign_script_runs(chromium: str, tmp_path: Path) -> None:
    names = ("several", "edge_gone", "broken", "nothing")
    pages = [render(getattr(monitoring_records, name)()).replace("</body>", f"{FOREIGN}</body>") for name in names]
    found = measured(chromium, tmp_path, [*pages, POLICY.sub("", pages[0])])
    for name, (width, needed, _, foreign) in zip(names, found, strict=False):
        assert (width, foreign) == ("390", "no"), name
        assert int(needed) <= 390, f"{name} is wider than a phone"
    assert int(found[0][2]) > 20, "the page's own script did not make its tables sortable"
    assert found[-1][3] == "ran", "without the policy the foreign script runs, so it is the policy that stops it"
