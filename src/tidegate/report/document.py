"""One HTML document with everything inline, from any package's templates."""

import base64
import hashlib
import re
from collections.abc import Sequence
from typing import Final

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from tidegate.report import formats

_CODE: Final = re.compile(r"`([^`]+)`")
_DATE: Final = re.compile(r"\b\d{4}-\d\d-\d\d( \d\d:\d\d( UTC)?)?")


def document(package: str, template: str, *, styles: Sequence[str], scripts: Sequence[str], **values: object) -> str:
    """Render a page.

    Args:
        package: templates, styles and scripts are looked for in its folder `templates`, then in the report's.
        template: the page's; besides `values` it is given `formats`, `style`, `script` and `script_hash`, and the filters `dates` and `code`.
        styles: files to stand in the page, one after the other.
        scripts: likewise.
        values: for the template; one that is missing there is an error.
    Returns:
        the same text for the same values. `script_hash` is what a content security policy names the script by.
    """
    loader = ChoiceLoader([PackageLoader(package), PackageLoader("tidegate.report")])
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["dates"] = unbroken_dates
    environment.filters["code"] = code_in_backticks

    def inline(names: Sequence[str]) -> Markup:
        return Markup("".join(loader.get_source(environment, name)[0] for name in names))  # noqa: S704  the packages' own files

    script = inline(scripts)
    return environment.get_template(template).render(
        values,
        formats=formats,
        style=inline(styles),
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def unbroken_dates(text: str) -> Markup:
    """Text, escaped, whose dates and times never break over two lines at their hyphens."""
    return Markup(_DATE.sub(r'<span class="date">\g<0></span>', str(escape(text))))  # noqa: S704  escaped just now


def code_in_backticks(text: str) -> Markup:
    """Text, escaped, in which what stands between backticks is shown as code."""
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704  escaped just now
