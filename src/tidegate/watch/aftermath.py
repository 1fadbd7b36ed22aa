"""What comes after an act: its incident is watched for a while, what fires meanwhile is noted there, and at the end people are told what came of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

from tidegate.bars.bars import iso
from tidegate.registry.events import EventLedger
from tidegate.rollback.finding import Finding
from tidegate.rollback.incidents import Incident, note_incident, open_incidents
from tidegate.settings.operations import Watch as WatchSettings

ACTOR: Final = "tidegate watch"
_SLACK_MS: Final = 60_000


class Notifies(Protocol):
    """Tells people; never raises."""

    def send(
        self, severity: Literal["info", "warning", "critical"], title: str, body: str, *, strategy: str, subject: str
    ) -> None:
        """Record a notification and deliver it."""


@dataclass(slots=True)
class _Watching:
    """How long an incident was watched so far, and how much of that each rule had enough evidence; UTC ms and ms."""

    looked_at: int
    watched_ms: int = 0
    measured_ms: dict[str, int] = field(default_factory=dict)

    def add(self, now_ms: int, longest_ms: int, findings: Sequence[Finding]) -> None:
        """Add the time since the look before; a longer one was not watched."""
        gap_ms, self.looked_at = now_ms - self.looked_at, max(now_ms, self.looked_at)
        if not 0 < gap_ms <= longest_ms:
            return
        self.watched_ms += gap_ms
        for one in findings:
            if one.verdict != "not_enough_evidence":
                self.measured_ms[one.rule] = self.measured_ms.get(one.rule, 0) + gap_ms

    def measured(self, least_ms: float) -> list[str]:
        """Rules that had enough evidence for longer than this."""
        return sorted(rule for rule, measured_ms in self.measured_ms.items() if measured_ms > least_ms)


class Aftermath:
    """Looks after open incidents. What was watched is remembered by this process only: a watch that was started in between has seen less.

    Args:
        events: the event ledger.
        notifies: tells people.
        now_ms: UTC ms.
        longest_gap_ms: between two looks; what lies within a longer one was not watched.
    """

    def __init__(self, events: EventLedger, notifies: Notifies, now_ms: Callable[[], int], longest_gap_ms: int) -> None:
        self._events = events
        self._notifies = notifies
        self._now_ms = now_ms
        self._longest_gap_ms = longest_gap_ms
        self._began_at = now_ms()
        self._watching: dict[str, _Watching] = {}

    def look_after(self, model: str, findings: Sequence[Finding]) -> None:
        """Note what fires, and end the watch over incidents whose time has passed.

        Args:
            model: whose incidents.
            findings: about the version in production; empty where they are about another one.
        """
        self.note_findings(model, findings)
        now_ms = self._now_ms()
        for incident in open_incidents(self._events, model):
            if incident.watched is not None:
                self._watching.pop(incident.id, None)
                continue
            begins = max(incident.opened_at, self._began_at)
            watching = self._watching.setdefault(incident.id, _Watching(begins))
            watching.add(min(now_ms, incident.watch_until), self._longest_gap_ms, findings)
            if incident.watch_until <= now_ms:
                self._end(incident, findings, self._watching.pop(incident.id))

    def note_findings(self, model: str, findings: Sequence[Finding]) -> None:
        """Note a rule that fires while an incident is watched, once; what is done about it is decided elsewhere."""
        fired = [one for one in findings if one.verdict == "fired"]
        now_ms = self._now_ms()
        for incident in open_incidents(self._events, model) if fired else ():
            if incident.watched is not None or now_ms >= incident.watch_until:
                continue
            acting = {one.rule: one.reason for one in fired if one.action != "observe"}
            seen = _observed(incident)
            observed = {one.rule: one.reason for one in fired if one.action == "observe" and one.rule not in seen}
            if acting:
                content: dict[str, object] = {"watched": "fired", "rules": acting}
                self._note(incident, content | {"from": incident.opened_at, "until": now_ms})
            elif observed:
                self._note(incident, {"observed": observed})

    def _end(self, incident: Incident, findings: Sequence[Finding], watching: _Watching) -> None:
        span_ms = incident.watch_until - incident.opened_at
        measured, observed = watching.measured(span_ms / 2), _observed(incident)
        rules: dict[str, str] = {one.rule: one.verdict for one in findings}
        minutes = f"{watching.watched_ms / 60_000:.0f} of {span_ms / 60_000:.0f} minutes"
        if observed:
            outcome, rules = "fired", observed
            told = "; ".join(f"{rule} fired and only observes: {reason}" for rule, reason in observed.items())
        elif watching.watched_ms <= span_ms / 2:
            outcome, told = "not_watched", f"a watch was looking during {minutes} only"
        elif not measured:
            outcome, told = (
                "not_measured",
                f"no rule had enough evidence for most of the time; watched during {minutes}",
            )
        else:
            outcome = "quiet"
            told = f"no rule fired until {iso(incident.watch_until)}; watched during {minutes}; measured: {', '.join(measured)}"
        figures = {
            "watched_s": watching.watched_ms // 1000,
            "measured_s": {rule: ms // 1000 for rule, ms in sorted(watching.measured_ms.items())},
        }
        begins = max(incident.opened_at, self._began_at)
        span = {"from": begins, "until": incident.watch_until}
        self._note(incident, {"watched": outcome, "rules": rules, **span, **figures})
        title = f"{incident.strategy}: the time in which an incident is watched has passed: {outcome.replace('_', ' ')}"
        body = f"incident {incident.id}: {told}; close it with `tidegate incident close {incident.id}`"
        severity: Literal["info", "warning"] = "info" if outcome == "quiet" else "warning"
        self._notifies.send(severity, title, body, strategy=incident.strategy, subject=incident.id)

    def _note(self, incident: Incident, content: dict[str, object]) -> None:
        note_incident(self._events, incident.id, actor=ACTOR, content=content)


def longest_gap_ms(settings: WatchSettings) -> int:
    """Longest time between two looks after incidents that still counts as watched: an act holds the next one up until it is verified."""
    return int(max(4 * settings.registry_poll_s, settings.verify_s) * 1000) + _SLACK_MS


def _observed(incident: Incident) -> dict[str, str]:
    """Rules that fired while it was watched and only observe, with their reasons."""
    found: dict[str, str] = {}
    for note in incident.notes:
        found |= note.content.get("observed") or {}
    return found
