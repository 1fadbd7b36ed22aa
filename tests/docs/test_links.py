"""Links lead somewhere, and every page is found from the start page."""

import re
from pathlib import Path

import pytest
from tests.docs.pages import OTHER_PAGES, PAGES, ROOT, name_of, prose

LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|<(https?://[^>]+)>")
ALL_PAGES = (*PAGES, *(folder / "README.md" for folder in OTHER_PAGES))
LOCAL_HOSTS = {"127.0.0.1", "localhost"}


def links(page: Path) -> list[str]:
    return [found[1] or found[2] for found in LINK.finditer(prose(page))]


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", prose(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", ALL_PAGES, ids=name_of)
def test_relative_links_resolve(page: Path) -> None:
    for link in links(page):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{name_of(page)} links to {link}"
        assert target.is_relative_to(ROOT), f"{name_of(page)} links out of the project: {link}"
        if anchor:
            assert anchor in anchors(target), f"{name_of(page)} links to {link}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_page_depends_on_a_machine_or_a_network(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    paths = re.findall(r"(?<![\w.}/])/(?:home|root|Users|tmp|work|mnt|opt|usr|var(?!/lib/tidegate/))/\S*", text)
    assert paths == []
    hosts = set(re.findall(r"https?://(?:[^/\s>)`@]*@)?([^/:\s>)`]+)", text))
    # A name without a dot is one of the reader's own network, such as a service of the stack.
    assert {host for host in hosts if "." in host} <= LOCAL_HOSTS, "an address outside this machine"


def test_every_page_is_linked_from_the_start() -> None:
    found, waiting = set[Path](), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in found:
            continue
        found.add(page)
        targets = {(page.parent / link.partition("#")[0]).resolve() for link in links(page) if "://" not in link}
        targets |= {target / "README.md" for target in targets if (target / "README.md").exists()}
        waiting += [target for target in targets if target.suffix == ".md" and target.exists()]
    assert [name_of(page) for page in PAGES if page not in found] == []
