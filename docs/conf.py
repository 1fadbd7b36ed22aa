"""Sphinx's settings. `make docs` builds the site; every warning is an error."""

import ast
import copy
import inspect
import os
import re
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from pygments.lexers.special import TextLexer  # type: ignore[import-untyped]

from tidegate import __version__

sys.path.insert(0, str(Path(__file__).parents[1]))

from docs.packages import PACKAGES

ROOT: Final = Path(__file__).parents[1]
DOCS: Final = ROOT / "docs"
# Pages of the site that stand for one outside docs/.
ELSEWHERE: Final = {
    "client-rust": "clients/rust/README.md",
    "client-conformance": "clients/conformance/README.md",
    "threat-model": "SECURITY.md",
}
_RUST: Final = re.compile(r"^```rust\S*\n(.*?)(?=^```$)", re.MULTILINE | re.DOTALL)
_LINK: Final = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)\s#]+)(#[^)\s]*)?\)")

project = "tidegate"
version = release = __version__
root_doc = "index"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["screenshots"]

myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence"]
nitpicky = True
smartquotes = False  # `--help` stays what it is
# Names of other projects have their pages on other hosts, and nothing here asks another host; aliases of types have none at all.
nitpick_ignore_regex = [("py:.*", rf"(?!tidegate\.({'|'.join(PACKAGES)})\.).*"), ("py:.*", r".*\._\w+")]
nitpick_ignore = [("py:obj", "tidegate.features.view.V")]  # a variable of types
python_use_unqualified_type_names = True

default_role = "code"
toc_object_entries = False  # the tree beside each page would name every function
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # signatures are taken from the source, below
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_preprocess_types = False
napoleon_use_rtype = False
napoleon_use_ivar = True
napoleon_attr_annotations = False  # shapes and units stand in the text

html_theme = "furo"
html_title = "tidegate"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_show_copyright = False
html_copy_source = False
html_theme_options = {"navigation_with_keys": True, "footer_icons": []}


def setup(app: Any) -> None:  # noqa: ANN401  Sphinx itself is needed for the site only
    """What Sphinx calls."""
    app.add_lexer("haproxy", TextLexer)  # Pygments knows none
    app.connect("source-read", _take_in)
    app.connect("autodoc-process-signature", _as_written)
    app.connect(
        "autodoc-process-docstring", _as_text, priority=400
    )  # before napoleon, which reads what stands before a colon as a type


def _take_in(app: Any, docname: str, source: list[str]) -> None:  # noqa: ANN401
    """The text of a page outside docs/ in place of the one that stands for it, and links that lead to such a page lead to that one.

    A link to another page or folder outside docs/ becomes the name of what it leads to; other files are copied into the site by Sphinx.
    """
    del app
    page = DOCS / f"{docname}.md"
    origin = ROOT / ELSEWHERE.get(docname, f"docs/{docname}.md")
    text = source[0] if origin == page else _RUST.sub(_shown, origin.read_text(encoding="utf-8"))
    pages = {ROOT / name: DOCS / f"{standing}.md" for standing, name in ELSEWHERE.items()}
    pages |= {path.parent: standing for path, standing in pages.items() if path.name == "README.md"}

    def link(found: re.Match[str]) -> str:
        words, address, anchor = found[1], found[2], found[3] or ""
        target = (origin.parent / address).resolve()
        if not target.exists():
            return found[0]
        if target not in pages and not target.is_relative_to(DOCS) and (target.is_dir() or target.suffix == ".md"):
            return f"{words} (`{target.relative_to(ROOT)}`)"
        return f"[{words}]({os.path.relpath(pages.get(target, target), page.parent)}{anchor})"

    source[0] = _LINK.sub(link, text)


def _shown(found: re.Match[str]) -> str:
    """A block of Rust without the lines that rustdoc hides."""
    return "```rust\n" + "".join(line for line in found[1].splitlines(keepends=True) if not re.match(r"# |#$", line))


def _as_written(
    app: Any,  # noqa: ANN401
    what: str,
    name: str,
    obj: object,
    options: object,
    signature: str | None,
    returned: str | None,
) -> tuple[str | None, str | None]:
    """Signatures as the source has them, with the names of types that it uses. A class shows its fields, and no second list of them."""
    del app, name, options
    if what in {"class", "exception"}:
        return ("" if signature else signature), None
    written = inspect.unwrap(obj) if callable(obj) else obj
    code = getattr(written, "__code__", None)
    found = _functions(code.co_filename).get(code.co_firstlineno) if code is not None else None
    if found is None:
        return signature, returned
    found = _Whole(getattr(written, "__globals__", {})).visit(copy.deepcopy(found))
    arguments = found.args
    if what == "method" and arguments.args and arguments.args[0].arg in {"self", "cls"}:
        del arguments.args[0]
    return f"({ast.unparse(arguments)})", None if found.returns is None else ast.unparse(found.returns)


@cache
def _functions(path: str) -> dict[int, ast.FunctionDef | ast.AsyncFunctionDef]:
    """A file's functions by the lines in which they begin, decorators included."""
    file = Path(path)
    nodes = ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if file.is_file() else iter(())
    found = [one for one in nodes if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)]
    return {min([one.lineno, *(each.lineno for each in one.decorator_list)]): one for one in found}


class _Whole(ast.NodeTransformer):
    """Names of tidegate's classes with their module, so that each leads to its own section; the site shows the last part of them."""

    def __init__(self, names: Mapping[str, object]) -> None:
        self._names = names

    def visit_Name(self, node: ast.Name) -> ast.expr:
        found = self._names.get(node.id)
        if not isinstance(found, type) or not found.__module__.startswith("tidegate."):
            return node
        return ast.parse(f"{found.__module__}.{found.__qualname__}", mode="eval").body


def _as_text(app: Any, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:  # noqa: ANN401
    """Docstrings are plain text: what stands in backticks is code, and a word that ends with an underscore is no reference."""
    del app, what, name, obj, options
    for number, line in enumerate(lines):
        parts = re.split(r"(`+[^`]+`+)", line)
        parts[::2] = [re.sub(r"(\w)_(?!\w)", r"\1\\_", part) for part in parts[::2]]
        parts[1::2] = [f"``{part.strip('`')}``" for part in parts[1::2]]
        lines[number] = "".join(parts)
