"""`make docs`: the site is built without a warning, its links lead somewhere, and it asks nothing of another host."""

import subprocess
import sys
from pathlib import Path

import pytest
from tests.docs.pages import ROOT
from tests.docs.site import Page, addresses_of, astray, is_elsewhere

DOCS = ROOT / "docs"
# The build imports half of tidegate and reads its docstrings: half a minute on a machine that does nothing else.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", "-d", str(folder / "state")]
    done = subprocess.run(
        [*command, str(DOCS), str(folder / "html")], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder / "html"


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path) for path in sorted(site.rglob("*.html"))}


def test_every_page_is_in_the_site(site: Path) -> None:
    wanted = [
        path.relative_to(DOCS).with_suffix(".html") for path in DOCS.rglob("*.md") if "screenshots" not in path.parts
    ]
    assert [str(path) for path in wanted if not (site / path).is_file()] == []


def test_links_and_anchors_of_the_built_pages_resolve(pages: dict[Path, Page]) -> None:
    assert len(pages) > 60
    assert sum(len(page.leads) for page in pages.values()) > 2000
    assert astray(pages) == []


def test_no_page_asks_another_host(site: Path, pages: dict[Path, Page]) -> None:
    asked = {address for page in pages.values() for address in page.asks}
    for sheet in (*site.rglob("*.css"), *site.rglob("*.svg")):
        asked |= set(addresses_of(sheet.read_text(encoding="utf-8")))
    assert any("furo" in address for address in asked)
    assert {address for address in asked if is_elsewhere(address)} == set()


def test_signatures_are_those_of_the_source_and_lead_to_the_types(pages: dict[Path, Page], site: Path) -> None:
    labels = (site / "python" / "labels.html").resolve()
    page = next(page for path, page in pages.items() if path.resolve() == labels)
    assert "tidegate.labels.labels.label" in page.anchors
    assert "bars.html#tidegate.bars.bars.Bars" in page.leads
    assert "strategy.html#tidegate.strategy.strategy.Costs" in page.leads


def test_the_clients_readmes_are_pages(pages: dict[Path, Page], site: Path) -> None:
    conformance = (site / "client-conformance.html").read_text(encoding="utf-8")
    assert "Write a driver" in conformance
    (bot,) = (page for path, page in pages.items() if path == site / "bot.html")
    assert {"client-rust.html", "client-conformance.html"} <= set(bot.leads)


def test_a_link_that_leads_nowhere_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text('<a href="b.html#there">b</a><a href="#here">a</a><h1 id="here"></h1>')
    (tmp_path / "b.html").write_text('<h1 id="there"></h1><img src="gone.png"><a href="a.html#gone">a</a>')
    found = {path: Page(path) for path in tmp_path.glob("*.html")}
    assert sorted(astray(found)) == ["b.html: a.html#gone", "b.html: gone.png"]


@pytest.mark.parametrize(
    "address", ["https://127.0.0.1/a.css", "//127.0.0.1/a.js", "http://localhost:1/a.woff2", "ftp://localhost/a"]
)
def test_another_host_is_noticed(tmp_path: Path, address: str) -> None:
    (tmp_path / "a.html").write_text(f'<link rel="stylesheet" href="{address}"><p style="background: url({address})">')
    assert [is_elsewhere(one) for one in Page(tmp_path / "a.html").asks] == [True, True]
    assert addresses_of(f'@import "{address}"; a {{ b: url("{address}") }}') == [address, address]
    assert not is_elsewhere("data:image/png;base64,AA")
    assert not is_elsewhere("../_static/a.css")
