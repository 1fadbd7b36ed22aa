"""The pages: the API's description, the bot's guide, what to do about each alert, how the parts hang together."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from tidegate.checklist.context import Context
from tidegate.checklist.finding import Finding, NotMeasured, judged
from tidegate.checklist.probe import Probe
from tidegate.serving.http.routes import ROUTES

_RUNBOOK: Final = "docs/runbook.md"
_GUIDE: Final = "docs/bot.md"
_ARCHITECTURE: Final = "docs/how-it-works.md"
_LINK: Final = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_FENCE: Final = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)


def api(context: Context) -> Finding:
    """The OpenAPI file describes every route of the service, each with a summary, its answers and its errors."""
    path = "docs/contracts/openapi.json"
    paths = json.loads(context.text(path))["paths"]
    wanted = [route for route in ROUTES if not route.docs]
    lacking = []
    for route in wanted:
        told = paths.get(route.path, {}).get(route.method.lower(), {})
        if not (told.get("summary") or told.get("description")) or not told.get("responses"):
            lacking.append(f"{route.method} {route.path}")
    return judged(not lacking, f"{path}: {len(wanted)} routes, not described: {', '.join(lacking) or 'none'}", path)


def integration(context: Context) -> Finding:
    """The bot's guide leads from nothing to live, and every link in it leads somewhere."""
    text = context.text(_GUIDE)
    missing = [word for word in ("check --config", "dry_run", "fallback", "/metrics") if word not in text]
    broken = _broken(context, _GUIDE)
    evidence = f"{_GUIDE}: {len(text.splitlines())} lines, broken links: {', '.join(broken) or 'none'}; does not speak of: {', '.join(missing) or 'nothing'}"
    return judged(not missing and not broken, evidence, _GUIDE)


def runbook(context: Context) -> Finding:
    """Every alert has a section with what to do, and its address leads there."""
    text = context.text(_RUNBOOK)
    sections = {
        match[1]: match[2].strip()
        for match in re.finditer(r"^### (\w+)\n(.*?)(?=^#|\Z)", text, re.MULTILINE | re.DOTALL)
    }
    without = sorted(name for name in context.alerts if not sections.get(name))
    astray = sorted(
        name
        for name, rule in context.alerts.items()
        if rule.get("annotations", {}).get("runbook_url") != f"{_RUNBOOK}#{name.lower()}"
    )
    evidence = f"{len(context.alerts)} alerts, without a section: {', '.join(without) or 'none'}; with another address: {', '.join(astray) or 'none'}"
    return judged(bool(context.alerts) and not without and not astray, evidence, _RUNBOOK)


def architecture(context: Context) -> Finding:
    """The page about the parts has a drawing, its links lead somewhere, and so do those of all other pages."""
    text = context.text(_ARCHITECTURE)
    drawn = [line for line in text.splitlines() if "-->" in line or "->" in line]
    pages = sorted((context.root / "docs").rglob("*.md"))
    broken = [
        f"{page.relative_to(context.root)}: {link}"
        for page in pages
        for link in _broken(context, str(page.relative_to(context.root)))
    ]
    if not pages:
        raise NotMeasured("this project's folder has no pages")
    evidence = f"{_ARCHITECTURE}: a drawing of {len(drawn)} lines; {len(pages)} pages, broken links: {', '.join(broken[:3]) or 'none'}"
    return judged(len(drawn) >= 3 and not broken, evidence, _ARCHITECTURE)


def _broken(context: Context, page: str) -> list[str]:
    """Links of a page to files or sections that are not there."""
    path = context.root / page
    return sorted({link for link in _links(path) if not _leads(path, link)})


def _links(path: Path) -> Iterator[str]:
    text = _FENCE.sub("", path.read_text(encoding="utf-8"))
    return (link for link in _LINK.findall(text) if not re.match(r"[a-z]+:", link))


def _leads(path: Path, link: str) -> bool:
    name, _, section = link.partition("#")
    target = (path.parent / name).resolve() if name else path
    if not target.exists():
        return False
    if not section or target.suffix != ".md":
        return True
    heads = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return section in {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


PROBES: Final[Mapping[str, Probe]] = {
    "documentation.api": api,
    "documentation.integration": integration,
    "documentation.runbook": runbook,
    "documentation.architecture": architecture,
}
