"""What summaries in Markdown have in common: text taken literally, and rows as far as there is room for them."""

import re
from collections.abc import Iterable
from typing import Final

MOST_BYTES: Final = 20_000
"""Of one summary, so that Prefect takes it as an artifact."""
_LONGEST: Final = 300
_SPECIAL: Final = re.compile(r"([\\`*_{}\[\]#|~!])")


def literal(text: str, longest: int = _LONGEST) -> str:
    r"""Text that Markdown and HTML take literally, on one line.

    >>> literal("a|b <i> [x](y)")
    'a\\|b &lt;i&gt; \\[x\\](y)'
    """
    flat = " ".join(text.split(None)).strip()
    cut = flat if len(flat) <= longest else f"{flat[: longest - 1]}\u2026"
    return _SPECIAL.sub(r"\\\1", cut.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))


def fitting(rows: Iterable[str], room: int) -> int:
    """How many of the first rows fit into so many bytes, each with its line's end."""
    used = count = 0
    for row in rows:
        used += len(row.encode()) + 1
        if used > room:
            break
        count += 1
    return count
