"""Findings, decisions and incidents as JSON for the ledgers and as words for people. Numbers that are NaN or infinite become null."""

import math
from collections.abc import Mapping
from typing import Any

from tidegate.bars.bars import iso
from tidegate.registry.rules import named
from tidegate.rollback.decision import Decision
from tidegate.rollback.finding import Finding
from tidegate.rollback.incidents import Incident


def finding_content(finding: Finding) -> dict[str, Any]:
    """A finding as the ledgers keep it."""
    content = {
        "rule": finding.rule,
        "action": finding.action,
        "verdict": finding.verdict,
        "observed": finding.observed,
        "threshold": finding.threshold,
        "unit": finding.unit,
        "n": finding.n,
        "since": finding.since,
        "reason": finding.reason,
        "error_rate": finding.error_rate,
        "evidence": finding.evidence,
    }
    found: dict[str, Any] = plain(content)
    return found


def decision_content(decision: Decision) -> dict[str, Any]:
    """A decision as the event ledger keeps it."""
    return {
        "act": decision.act,
        "rule": decision.rule,
        "reason": decision.reason,
        "suppressed": decision.suppressed,
        "version": decision.version,
        "finding": None if decision.finding is None else finding_content(decision.finding),
        "findings": {finding.rule: finding.verdict for finding in decision.findings},
    }


def decision_subject(decision: Decision, key: str) -> str:
    """What a decision is about: the rule, the version and what became of it, on a day or after a row of the promotion ledger."""
    outcome = "suppressed" if decision.suppressed else decision.act
    return f"{decision.rule}/{named(decision.version)}/{outcome}/{key}"


def incident_words(incident: Incident) -> tuple[str, str]:
    """Title and body of the notification about an act."""
    content = incident.content
    left, now = named(content.get("from_version")), named(content.get("to_version"))
    who = f"rule {content.get('rule')}" if incident.automatic else incident.opened_by
    done = "halted" if incident.act == "halt" else f"rolled back from {left} to {now}"
    lines = [
        str(content.get("reason")),
        f"Acted at {iso(int(content['acted_at']))}, ledger row {content['ledger_row']}.",
    ]
    finding = content.get("finding")
    if isinstance(finding, Mapping):
        lines.append(f"How often the rule fires on a healthy model: {finding.get('error_rate')}.")
    lines.append(_verified(content.get("verification")))
    if incident.act == "rollback":
        lines.append(f"{left} is barred until a person clears it, unless it was kept by the one who rolled back.")
    lines.append(f"Watched until {iso(incident.watch_until)}; `tidegate incident show {incident.id}` tells more.")
    return f"{incident.strategy} {done} by {who}", "\n".join(lines)


def _verified(verification: Any) -> str:  # noqa: ANN401  JSON of the event ledger
    if not isinstance(verification, Mapping):
        return "The serving processes were not asked."
    verdict, found = verification.get("verdict"), verification.get("instances") or []
    behind = ", ".join(str(one.get("instance")) for one in found if one.get("state") == "behind")
    if verdict == "verified":
        return f"Every live serving process follows, the last one after {verification.get('took_s')} s."
    if verdict == "no_instances":
        return "No serving process is known that could be asked."
    return f"NOT VERIFIED: {behind or verification.get('fault')}."


def plain(value: Any) -> Any:  # noqa: ANN401  any JSON value
    """A value whose numbers are finite or null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value
