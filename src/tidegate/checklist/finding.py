"""What a probe says."""

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["pass", "fail", "not_measured"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One probe's word.

    Attributes:
        verdict: `not_measured` where there was nothing to look at; never a pass.
        evidence: what was seen, with numbers and times; what to do where it is no pass.
        link: page, file or address where it can be seen again; empty for none.
    """

    verdict: Verdict
    evidence: str
    link: str = ""


class NotMeasured(Exception):
    """There is nothing to look at: no address is set, or nothing of the kind has happened yet. The text says what to do."""


def passed(evidence: str, link: str = "") -> Finding:
    """It is as it should be."""
    return Finding("pass", evidence, link)


def failed(evidence: str, link: str = "") -> Finding:
    """It is not."""
    return Finding("fail", evidence, link)


def judged(holds: bool, evidence: str, link: str = "") -> Finding:
    """One or the other, with the same evidence."""
    return Finding("pass" if holds else "fail", evidence, link)
