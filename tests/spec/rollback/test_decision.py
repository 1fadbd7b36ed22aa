"""The one decision, one row a case: findings and what stands against them on the left, the act on the right."""

from dataclasses import replace
from typing import Any

import pytest

from tidegate.rollback.decision import Situation, decide
from tidegate.rollback.finding import Finding

MINUTE = 60_000
NOW = 1_000 * MINUTE
CALM = Situation(
    strategy="s",
    version=3,
    halted=False,
    open_incident=None,
    is_watched=False,
    last_automatic_act_at=None,
    cooldown_ms=30 * MINUTE,
    maintenance=False,
    acting_allowed=True,
    now_ms=NOW,
    has_good_version=True,
    open_intent=False,
)


def finding(text: str) -> Finding:
    """`latency=roll_back` fired and asks for that, `latency?` has not enough evidence, `latency` is quiet.

    `latency=alert/roll_back` asks for a rollback by its file, and did not begin with the version.
    """
    rule, _, said = text.rstrip("?").partition("=")
    action, _, asked = said.partition("/")
    verdict: Any = "fired" if action else "not_enough_evidence" if text.endswith("?") else "quiet"
    chosen: Any = action or "roll_back"
    wanted: Any = asked or None
    return Finding(rule, chosen, verdict, None, None, "", 0, None, f"{rule} said so", "never", {}, wanted)


ACTS = [
    # what it shows, findings, situation, act, rule, suppressed
    ("nothing fired", "latency drift", {}, "nothing", None, ""),
    ("no findings", "", {}, "nothing", None, ""),
    ("not enough evidence is no act", "latency? drift?", {}, "nothing", None, ""),
    ("observed only", "win_rate=observe", {}, "nothing", None, ""),
    ("an alert", "win_rate=alert", {}, "alert", "win_rate", ""),
    ("a rollback", "latency=roll_back", {}, "roll_back", "latency", ""),
    ("a rollback before an alert", "drift=alert latency=roll_back", {}, "roll_back", "latency", ""),
    ("the weightiest rule is named", "latency=roll_back sequential=roll_back errors=roll_back", {}, "roll_back", "sequential", ""),
    ("an unknown rule comes last", "own=roll_back bots=roll_back", {}, "roll_back", "bots", ""),
    ("nothing in production", "latency=roll_back", {"version": None}, "alert", "latency", "nothing is in production"),
    ("halted already", "latency=roll_back", {"halted": True}, "nothing", "latency", "halted already"),
    ("halted, and an alert", "drift=alert", {"halted": True}, "alert", "drift", ""),
    ("rules may not act", "latency=roll_back", {"acting_allowed": False}, "alert", "latency", "may not act"),
    ("another act is open", "latency=roll_back", {"open_intent": True}, "alert", "latency", "under way"),
    ("within cooldown", "latency=roll_back", {"last_automatic_act_at": NOW - 30 * MINUTE + 1}, "alert", "latency", "30 minutes ago"),
    ("at its end", "latency=roll_back", {"last_automatic_act_at": NOW - 30 * MINUTE}, "roll_back", "latency", ""),
    ("the clock was set back", "latency=roll_back", {"last_automatic_act_at": NOW + 9 * MINUTE}, "alert", "latency", "ago"),
    ("no cooldown", "latency=roll_back", {"cooldown_ms": 0, "last_automatic_act_at": NOW}, "roll_back", "latency", ""),
    ("an incident is open", "latency=roll_back", {"open_incident": "s/7"}, "halt", "latency", ""),
    ("no cooldown holds back a halt", "latency=roll_back", {"open_incident": "s/7", "last_automatic_act_at": NOW}, "halt", "latency", ""),
    ("nor without a good version", "latency=roll_back", {"has_good_version": False, "last_automatic_act_at": NOW}, "halt", "latency", ""),
    ("not begun with the version", "latency=alert/roll_back", {}, "alert", "latency", ""),
    ("nor later in an incident", "latency=alert/roll_back", {"open_incident": "s/7"}, "alert", "latency", ""),
    ("while it is watched that is no excuse", "latency=alert/roll_back", {"open_incident": "s/7", "is_watched": True}, "halt", "latency", ""),
    ("nor for what is only told", "latency=alert/alert", {"open_incident": "s/7", "is_watched": True}, "alert", "latency", ""),
    ("watched, and closed by a person", "latency=alert/roll_back", {"is_watched": True}, "alert", "latency", ""),
    ("an incident is open, and only an alert", "drift=alert", {"open_incident": "s/7"}, "alert", "drift", ""),
    ("no good version", "latency=roll_back", {"has_good_version": False}, "halt", "latency", ""),
    ("maintenance holds nothing back", "latency=roll_back", {"maintenance": True}, "roll_back", "latency", ""),
]  # fmt: skip


@pytest.mark.parametrize(("findings", "changes", "act", "rule", "suppressed"), [row[1:] for row in ACTS], ids=[row[0] for row in ACTS])  # fmt: skip
def test_the_decision(findings: str, changes: dict[str, Any], act: str, rule: str | None, suppressed: str) -> None:
    found = decide([finding(word) for word in findings.split()], replace(CALM, **changes))
    assert (found.act, found.rule) == (act, rule)
    assert suppressed in found.suppressed
    assert bool(found.suppressed) == bool(suppressed)
    assert (found.strategy, found.version) == ("s", replace(CALM, **changes).version)
    assert found.reason


def test_what_lacks_evidence_is_named() -> None:
    assert "not enough evidence for drift, latency" in decide([finding("latency?"), finding("drift?")], CALM).reason


def test_the_order_of_findings_does_not_matter() -> None:
    words = ["errors=roll_back", "sequential=roll_back", "drift=alert", "bots"]
    one, other = (decide([finding(word) for word in order], CALM) for order in (words, words[::-1]))
    assert (one.act, one.finding) == (other.act, other.finding)
