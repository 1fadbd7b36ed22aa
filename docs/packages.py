"""The pages of the Python reference: which modules Sphinx takes docstrings from."""

import ast
from pathlib import Path
from typing import Final

import tidegate

SOURCE: Final = Path(tidegate.__file__).parent
# What programs outside tidegate build upon: own features, notebooks, bots, other gates and reports. The other packages are reached by the command line.
PACKAGES: Final = (
    "bars",
    "features",
    "labels",
    "strategy",
    "policy",
    "model",
    "backtest",
    "statistics",
    "gates",
    "client",
    "keys",
    "notify",
)
ERRORS: Final = "tidegate.errors"


def page_of(package: str) -> str:
    """Markdown of one package: its modules in alphabetical order, each with its docstrings."""
    folder = SOURCE / package
    paths = sorted(path for path in folder.rglob("*.py") if path.name != "__init__.py")
    modules = [".".join(("tidegate", *path.relative_to(SOURCE).with_suffix("").parts)) for path in paths]
    parts = [f"# tidegate.{package}", "", _docstring(folder / "__init__.py"), ""]
    for module, path in zip(modules, paths, strict=True):
        if not path.name.startswith("_"):
            parts += _module(module)
    return "\n".join(parts)


def index() -> str:
    """The start page of the reference."""
    entries = [
        f"- [tidegate.{package}]({package}.md): {_docstring(SOURCE / package / '__init__.py')}" for package in PACKAGES
    ]
    names = "\n".join(("errors", *PACKAGES))
    return f"""\
# The Python interface

Docstrings of the packages that programs of your own build upon. The other packages are reached by [the command line](../cli.md). In the site each page shows classes and
functions with their arguments; the files of this folder name the modules only. They are generated: `python -m docs.generate --write`.

- [{ERRORS}](errors.md): the tree of errors, with exit codes.
{chr(10).join(entries)}

```{{toctree}}
:hidden:

{names}
```
"""


def errors() -> str:
    """The page of the module of errors, which is no package."""
    return "\n".join([f"# {ERRORS}", "", *_module(ERRORS)])


def _module(name: str) -> list[str]:
    options = ["   :members:", *(["   :show-inheritance:"] if name == ERRORS else [])]
    return [f"## `{name}`", "", "```{eval-rst}", f".. automodule:: {name}", *options, "```", ""]


def _docstring(path: Path) -> str:
    return " ".join((ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split())
