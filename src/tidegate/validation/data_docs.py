"""Great Expectations' data docs, made readable without a network: no scripts, no foreign styles, no pictures from elsewhere."""

import html
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_REMOVED: Final = tuple(
    re.compile(pattern, re.DOTALL | re.IGNORECASE)
    for pattern in (
        r"<script\b.*?</script>",
        r"<style\b.*?</style>",
        r"<link\b[^>]*>",
        r"<img\b[^>]*>",
        r"<footer\b.*?</footer>",
        r"<title>\s*</title>",
        r'<div class="card mb-3">\s*<div class="card-header p-2">\s*<strong>Actions</strong>.*?(?=<div class="card d-md-block)',
    )
)
_TABLE_LEVEL: Final = re.compile(
    r'id="(section-\d+)-content-block-1-header"(?:(?!<h5).)*<h5[^>]*>\s*Table-Level', re.DOTALL
)
_FOREIGN_LINK: Final = re.compile(r'<a\b[^>]*href="https?://[^"]*"[^>]*>(.*?)</a>', re.DOTALL | re.IGNORECASE)

_PARTS: Final = ("expectations", "validations", "static")

_STYLE: Final = """
:root{color-scheme:light dark;--ink:#1d2733;--paper:#fff;--soft:#f2f5f8;--line:#d5dde5;--good:#18794e;--bad:#c62a2f;--link:#0b62a8}
@media(prefers-color-scheme:dark){:root{--ink:#e4eaf0;--paper:#12181f;--soft:#1c252e;--line:#33404d;--good:#4cc38a;--bad:#ff8589;--link:#70b8ff}}
*{box-sizing:border-box}
body{margin:0;font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper)}
a{color:var(--link)}
h4,h5,h6{margin:.2em 0;font-size:1.05em}
ul,ol{padding-left:1.2em;margin:.2em 0}
nav.navbar{padding:10px 24px;border-bottom:1px solid var(--line)}
.breadcrumb,.nav{list-style:none;display:flex;flex-wrap:wrap;gap:4px 12px;padding:0}
.container-fluid>.row{display:flex;gap:24px;padding:16px 24px;flex-wrap:wrap}
.container-fluid>.row>.col-lg-2{flex:0 0 210px}.container-fluid>.row>.col-lg-10{flex:1 1 600px;min-width:0}
.ge-section{margin-bottom:24px}.ge-section>.row{display:block;padding:0}
.alert,.card-header{background:var(--soft);border:1px solid var(--line);border-radius:6px;padding:8px 12px}
.card-header{margin-bottom:8px}
table{border-collapse:collapse;width:100%;margin:8px 0}
th{white-space:nowrap}
td,th{border-bottom:1px solid var(--line);padding:6px 8px;text-align:left;vertical-align:top;overflow-wrap:anywhere}
td td,td th{white-space:normal;font-size:.92em}
.badge{background:var(--soft);border:1px solid var(--line);border-radius:4px;padding:0 5px;font-family:ui-monospace,monospace;font-size:.92em}
.text-danger{color:var(--bad)}.text-success{color:var(--good)}
i.fa-times::before,i.fa-times-circle::before{content:"\\2717"}i.fa-check-circle::before,i.fa-check::before{content:"\\2713"}
i.fa-exclamation-triangle::before{content:"!"}
i{font-style:normal;font-weight:700}
code,pre{font-family:ui-monospace,monospace;white-space:pre-wrap;overflow-wrap:anywhere}
.collapse{display:none}.collapse:target{display:block;border:1px solid var(--line);border-radius:6px;padding:8px 12px;margin:8px 0}
.cooltip .top{display:none}.cooltip:hover .top{display:block;font-size:.85em}
main{max-width:1100px;margin:40px auto;padding:0 24px}
""".strip()


@dataclass(frozen=True, slots=True)
class Line:
    """One expectation on the first page: whether it was met, what it is, the rule behind it, and which rows are against it."""

    met: bool
    description: str
    rule: str
    rows: str


def clear(folder: Path) -> None:
    """Make a site's folder ready: create it, or remove an earlier site's pages and nothing else."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "index.html").unlink(missing_ok=True)
    for part in _PARTS:
        shutil.rmtree(folder / part, ignore_errors=True)


def make_readable_offline(folder: Path, title: str, verdict: str, lines: Sequence[Line]) -> Path:
    """Rewrite a freshly built site so that it needs nothing from outside its folder.

    Args:
        folder: the site.
        title: what was validated.
        verdict: one sentence for the first page.
        lines: the first page's table.
    Returns:
        the first page, which links to every other.
    """
    index = folder / "index.html"
    pages = sorted(page for page in folder.rglob("*.html") if page != index)
    for page in pages:
        page.write_text(_offline(page.read_text(encoding="utf-8")), encoding="utf-8")
    # GE fills its own first page by script; this one is plain.
    index.write_text(_index(folder, pages, title, verdict, lines), encoding="utf-8")
    shutil.rmtree(folder / "static", ignore_errors=True)
    return index


def _offline(page: str) -> str:
    for pattern in _REMOVED:
        page = pattern.sub("", page)
    page = _FOREIGN_LINK.sub(r"\1", page)
    if section := _TABLE_LEVEL.search(page):
        # The values of a pair are printed there without a space between them: "1.0" and "42362.93" as 1.042362.93.
        page = re.sub(
            rf'<table\s+id="{section[1]}-[^"]*-cell-[^"]*-content-\d+-body".*?</table>', "", page, flags=re.DOTALL
        )
    return page.replace("</head>", f"<style>{_STYLE}</style>\n</head>", 1)


def _index(folder: Path, pages: list[Path], title: str, verdict: str, lines: Sequence[Line]) -> str:
    kinds = {"validations": "Great Expectations' results", "expectations": "Great Expectations' suite"}
    links = []
    for page in reversed(pages):
        place = page.relative_to(folder)
        name = kinds.get(place.parts[0], page.stem)
        links.append(f'<li><a href="{html.escape(place.as_posix())}">{html.escape(name)}</a></li>')
    heading = html.escape(title)
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8"><title>Data docs: {heading}</title>\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head>\n'
        f"<body><main><h1>{heading}</h1><p>{html.escape(verdict)}</p><ul>{''.join(links)}</ul>\n"
        f"<table><thead><tr><th>Met</th><th>Expectation</th><th>Rule</th><th>Rows against it</th></tr></thead><tbody>\n"
        f"{''.join(map(_line, lines))}</tbody></table></main></body>\n</html>\n"
    )


def _line(line: Line) -> str:
    mark = '<b class="text-success">&#10003;</b>' if line.met else '<b class="text-danger">&#10007;</b>'
    cells = "".join(f"<td>{html.escape(text)}</td>" for text in (line.description, line.rule, line.rows))
    return f"<tr><td>{mark}</td>{cells}</tr>\n"
