"""The last net for secrets: what looks like one leaves no process in a line.

Nothing in tidegate logs a secret on purpose. Messages of libraries, though, repeat addresses and headers that they were given.
"""

import re
from typing import Final

MASK: Final = "***"
_QUOTED: Final = (
    r"""[bru]?"(?:[^"\\\n]|\\.)*(?:"|(?=\n)|\Z)|[bru]?'(?:[^'\\\n]|\\.)*(?:'|(?=\n)|\Z)|\\+["'][^"'\\\n]*(?:\\+["'])?"""
)
"""A text in quotes, also where its end was cut off, and one whose quotes are escaped."""
_NAMES: Final = (
    r"(?:password|passwd|passphrase|secret|token|(?:api|access|private)[_-]?key|(?<![a-z0-9])(?:pass|pwd))"
    r"(?:[_-]?(?:access[_-]?)?key)?"
)
_PATTERNS: Final = (
    # user:password@ in an address; then what holds a slash, which ends an address's host but not a password
    (re.compile(r"(?<=://)([^/@\s:]*):[^/\s]+@"), rf"\1:{MASK}@"),
    (re.compile(rf"(?<=://)([^/@\s:]*):(?!{re.escape(MASK)}@)[^\s\"'<>]{{1,512}}@"), rf"\1:{MASK}@"),
    # a token in the place of the user: all but short names
    (re.compile(r"(?<=://)(?![a-z][a-z_.-]{0,14}@)[^/@\s:]+@", re.IGNORECASE), f"{MASK}@"),
    (re.compile(rf"(?<=://)(?![a-z0-9_.-]{{0,20}}:)[^/@\s:]+:(?={re.escape(MASK)}@)", re.IGNORECASE), f"{MASK}:"),
    # after any scheme in the header; the two usual ones also outside of it
    (
        re.compile(
            r"\b(authorization\\*[\"']?\s*[=:]\s*\\*[\"']?(?:[a-z][a-z0-9-]*[ \t]+)?)[^\s\"'\\]+", re.IGNORECASE
        ),
        rf"\1{MASK}",
    ),
    (re.compile(r"\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE), rf"\1 {MASK}"),
    # an API key of the serving process: tg_<id>_<secret>
    (re.compile(r"\b(tg_[a-z0-9][a-z0-9-]{0,31}_)[A-Za-z0-9_-]{43}"), rf"\1{MASK}"),
    # name=value, whatever stands before the name, as in MLFLOW_TRACKING_PASSWORD; and --name value
    (re.compile(rf"({_NAMES}\\*[\"']?\s*[=:]\s*)(?:{_QUOTED}|[^\s\"',;&\\]{{3,}})", re.IGNORECASE), rf"\1{MASK}"),
    (re.compile(rf"(--(?:[a-z0-9]{{1,32}}-){{0,4}}{_NAMES}\s+)(?:{_QUOTED}|\S+)", re.IGNORECASE), rf"\1{MASK}"),
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL), MASK),
)
# Most lines have none of these, and are not searched.
_HINT: Final = re.compile(
    r"://|bearer|basic|authorization|tg_|pass|pwd|secret|token|(?:api|access|private).?key", re.IGNORECASE
)


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
