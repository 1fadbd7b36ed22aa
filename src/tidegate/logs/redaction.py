"""The last net for secrets: what looks like one leaves no process in a line.

Nothing in tidegate logs a secret on purpose. Messages of libraries, though, repeat addresses and headers that they were given.
"""

import re
from typing import Final

MASK: Final = "***"
_PATTERNS: Final = (
    # user:password@ in an address
    (re.compile(r"(?<=://)([^/@\s:]*):[^/\s]+@"), rf"\1:{MASK}@"),
    (re.compile(r"\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE), rf"\1 {MASK}"),
    # an API key of the serving process: tg_<id>_<secret>
    (re.compile(r"\b(tg_[a-z0-9][a-z0-9-]{0,31}_)[A-Za-z0-9_-]{43}"), rf"\1{MASK}"),
    (
        re.compile(
            r"(?P<name>\b(?:pass(?:word|wd)?|secret|token|api[_-]?key)\b[\"']?\s*[=:]\s*)(?P<quote>[\"']?)[^\s\"',;&]{3,}(?P=quote)",
            re.IGNORECASE,
        ),
        rf"\g<name>{MASK}",
    ),
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL), MASK),
)
# Most lines have none of these, and are not searched.
_HINT: Final = re.compile(r"://|bearer|basic|tg_|pass|secret|token|api.?key|PRIVATE KEY", re.IGNORECASE)


def without_secrets(text: str) -> str:
    """A text with passwords, keys and tokens masked.

    >>> without_secrets("postgresql://tide:hunter2@db/ledger failed")
    'postgresql://tide:***@db/ledger failed'
    """
    if _HINT.search(text) is None:
        return text
    for pattern, shown in _PATTERNS:
        text = pattern.sub(shown, text)
    return text
