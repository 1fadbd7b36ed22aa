"""The triggers: each holds the list's bound, fires on figures just beyond it, and is being looked at; and how the last rollback went."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import numpy as np

from tidegate.bars.bars import iso
from tidegate.checklist.context import DAY_MS, Context
from tidegate.checklist.finding import Finding, NotMeasured, failed, judged
from tidegate.checklist.probe import Probe
from tidegate.checklist.probes.daily import newest_run
from tidegate.checklist.service import samples
from tidegate.registry.state import LedgerRow
from tidegate.rollback import rules
from tidegate.rollback.finding import BotWord, Minute
from tidegate.rollback.incidents import Incident, incidents
from tidegate.strategy.strategy import Rollback

_MINUTE_MS: Final = 60_000
_AT: Final = 20_000 * DAY_MS
_A_DAY: Final = 100
_SPAN: Final = 60
_HIGHER_IS_STRICTER: Final = frozenset(("win_rate", "sharpe"))
Fires = Callable[[Rollback], tuple[str, str]]
"""A rule's verdicts under a strategy's settings: on figures just beyond the list's bound, and well within it."""


def win_rate(own: Rollback) -> tuple[str, str]:
    """Many trades a day, won to 51 % and to 60 %."""
    days = own.win_rate_window_days + own.win_rate_days + 1
    exit_at = (_AT - DAY_MS * np.arange(days, 0, -1)[:, None] + np.arange(_A_DAY)[None, :]).ravel()

    def verdict(wins: int) -> str:
        won = np.tile((np.arange(_A_DAY) < wins).astype(np.float64), days)
        return rules.win_rate(won, exit_at.astype(np.int64), _AT, own).verdict

    return verdict(51), verdict(60)


def sharpe(own: Rollback) -> tuple[str, str]:
    """0.99 and 1.5 over a whole window."""
    window = float(own.sharpe_window_days)
    bad, good = (
        rules.sharpe(ratio, trades=10 * own.min_trades, days=window, since=_AT, rules=own) for ratio in (0.99, 1.5)
    )
    return bad.verdict, good.verdict


def latency(own: Rollback) -> tuple[str, str]:
    """A p95 of 20.1 ms, and of 5 ms, in every minute of an hour."""
    bad, good = (rules.latency(_minutes(p95_ms=value), _AT, own, version=2) for value in (20.1, 5.0))
    return bad.verdict, good.verdict


def errors(own: Rollback) -> tuple[str, str]:
    """5.1 % of the predictions fail, and 0.1 %."""
    bad, good = (rules.errors(_minutes(errors=count), _AT, own, version=2) for count in (51, 1))
    return bad.verdict, good.verdict


def crashes(own: Rollback) -> tuple[str, str]:
    """A process starts three times within ten minutes, and once."""
    bad, good = (rules.crashes(_minutes(starts=count), _AT, own, version=2) for count in (3, 1))
    return bad.verdict, good.verdict


def bots(own: Rollback) -> tuple[str, str]:
    """A bot calls the service unreachable for five minutes, and reaches it."""
    said = [BotWord("bot", "key", away, _AT - 1000, _AT - 5 * _MINUTE_MS) for away in (True, False)]
    bad, good = (rules.bots([word], _AT, own, version=2, minutes=_minutes()) for word in said)
    return bad.verdict, good.verdict


def _minutes(*, p95_ms: float = 5.0, errors: int = 0, starts: int = 1) -> list[Minute]:
    """An hour of one instance, told by the arguments. A rule that waits longer than that is none of the list's."""
    span = _SPAN
    since = _AT - span * _MINUTE_MS
    return [
        Minute(
            instance="one",
            starts_at=since + at * _MINUTE_MS,
            ends_at=since + (at + 1) * _MINUTE_MS,
            reachable=True,
            version=2,
            version_since=since,
            started_at=_AT - _MINUTE_MS * (1 + min(span - 1 - at, starts - 1)) if starts > 1 else since - DAY_MS,
            requests=1000,
            errors=errors,
            latency_p95_ms=p95_ms,
        )
        for at in range(span)
    ]


def trigger(context: Context, *, rule: str, fires: Fires, bounds: Mapping[str, float]) -> Finding:
    """A trigger guards the strategy.

    Args:
        context: what is looked at.
        rule: its name.
        fires: gives its verdicts on figures beyond the list's bound and within it.
        bounds: fields of the strategy's `rollback` with the list's numbers.
    """
    own = context.strategy.rollback
    loose = [
        f"{name} {getattr(own, name):g}"
        for name, bound in bounds.items()
        if not (getattr(own, name) >= bound if name in _HIGHER_IS_STRICTER else getattr(own, name) <= bound)
    ]
    action = getattr(own, f"{_ACTIONS.get(rule, rule)}_action")
    beyond, within = fires(own)
    told = (
        f"{', '.join(f'{name} {getattr(own, name):g} (the list: {bound:g})' for name, bound in bounds.items()) or 'configured'}; "
        f"action {action}; on figures beyond the bound it says {beyond}, within it {within}"
    )
    if loose or action == "observe" or (beyond, within) != ("fired", "quiet"):
        return failed(told)
    verdict, seen, link = _last_look(context, rule)
    if verdict == "not_enough_evidence":
        raise NotMeasured(f"{told}; last look: {seen}")
    return judged(verdict == "quiet", f"{told}; last look: {seen}", link)


def _last_look(context: Context, rule: str) -> tuple[str, str, str]:
    """Verdict of the rule now, what it says, and where."""
    if rule in {"win_rate", "sharpe"}:
        run = newest_run(context)
        found: dict[str, Any] = next((one for one in run.content["findings"] if one["rule"] == rule), {})
        link = str(run.content.get("report") or "")
        return (
            str(found.get("verdict", "missing")),
            f"{run.subject}: {found.get('verdict')}: {found.get('reason')}",
            link,
        )
    watch = context.settings.watch
    address = f"http://{watch.host}:{watch.port}/metrics"
    shown = samples(context.web.ask(address).body)
    mine = [
        value
        for labels, value in shown.get("tidegate_rule_fired", ())
        if (labels["strategy"], labels["rule"]) == (context.strategy.name, rule)
    ]
    if not mine:
        return "not_enough_evidence", f"the watch at {address} has not judged it yet", address
    verdict = {0.0: "quiet", 1.0: "fired"}.get(mine[0], "not_enough_evidence")
    return verdict, f"the watch at {address}: {verdict}", address


_ACTIONS: Final = {"errors": "error", "crashes": "crash", "bots": "bot"}


def _last(context: Context) -> tuple[LedgerRow, Incident]:
    """The newest rollback with its incident.

    Raises:
        NotMeasured: there was none.
    """
    rows = [
        row
        for row in context.ledger.rows(context.strategy.name)
        if row.state == "committed" and row.action in {"rollback", "halt"}
    ]
    if not rows:
        raise NotMeasured(
            f"{context.strategy.name} was never rolled back, so nobody knows how it goes: tidegate rollback drills it"
        )
    found = [
        one
        for one in incidents(context.events, context.strategy.name)
        if one.content.get("ledger_row") in {rows[-1].id, rows[-1].intent_id}
    ]
    if not found:
        raise NotMeasured(f"the rollback of {iso(rows[-1].created_at)} has no incident yet")
    return rows[-1], found[-1]


def _verified(context: Context) -> tuple[Mapping[str, Any], str]:
    _, incident = _last(context)
    events = context.rows("verification", context.strategy.name, subject=incident.id)
    told = events[-1].content if events else incident.content.get("verification")
    if not told:
        raise NotMeasured(f"nobody asked the serving processes after rollback {incident.id}")
    return told, incident.id


def stopped(context: Context) -> Finding:
    """After the newest rollback no process answered with the version that was left."""
    told, name = _verified(context)
    behind = [one["instance"] for one in told["instances"] if one["state"] == "behind"]
    return judged(
        bool(told["instances"]) and not behind,
        f"rollback {name}: {len(told['instances'])} processes, {len(behind)} stayed behind: {', '.join(behind) or 'none'}",
        name,
    )


def known_good(context: Context) -> Finding:
    """The newest rollback went to a version that was in production before."""
    row, incident = _last(context)
    before = {
        one.to_version
        for one in context.ledger.rows(context.strategy.name)
        if one.id < (row.intent_id or row.id) and one.state == "committed"
    }
    told = f"rollback {incident.id}: from v{row.from_version} to {'a halt' if row.to_version is None else f'v{row.to_version}'} at {iso(row.created_at)}"
    return judged(row.to_version in before and row.to_version is not None, told, incident.id)


def health(context: Context) -> Finding:
    """Every process answered with the version that was gone back to."""
    told, name = _verified(context)
    return judged(told["verdict"] == "verified", f"rollback {name}: {told['verdict']} after {told['took_s']} s", name)


def bot(context: Context) -> Finding:
    """Since the newest rollback every bot has seen the version that is in production."""
    row, _ = _last(context)
    version = context.state.current
    late = [one["bot"] for one in context.bots if one["last_version"] != version or one["received_at"] < row.created_at]
    return judged(
        not late,
        f"v{version} is in production since {iso(row.created_at)}; bots that have not seen it: {', '.join(late) or 'none'}",
    )


def watched(context: Context) -> Finding:
    """The newest rollback was watched for 30 minutes, and nothing fired."""
    _, incident = _last(context)
    minutes = (incident.watch_until - int(incident.content["acted_at"])) / _MINUTE_MS
    word = incident.watched
    if word is None and context.now_ms <= incident.watch_until:
        raise NotMeasured(f"rollback {incident.id} is watched until {iso(incident.watch_until)}")
    return judged(
        word == "quiet" and minutes >= 30,
        f"rollback {incident.id}: watched for {minutes:.0f} minutes: {word or 'not watched'}",
        incident.id,
    )


def root_cause(context: Context) -> Finding:
    """Every incident was closed by a person who says what the cause was."""
    _last(context)
    found = incidents(context.events, context.strategy.name)
    open_ones = [one.id for one in found if one.is_open]
    last = found[-1].closing_note
    return judged(
        not open_ones,
        f"{len(found)} incidents, open: {', '.join(open_ones) or 'none'}; the last one: {last or 'no note'}"[:300],
    )


def _trigger(rule: str, fires: Fires, **bounds: float) -> Probe:
    return partial(trigger, rule=rule, fires=fires, bounds=bounds)


PROBES: Final[Mapping[str, Probe]] = {
    "trigger.win_rate": _trigger("win_rate", win_rate, win_rate=0.52, win_rate_days=3),
    "trigger.sharpe": _trigger("sharpe", sharpe, sharpe=1.0),
    "trigger.latency": _trigger("latency", latency, latency_p95_ms=20.0),
    "trigger.errors": _trigger("errors", errors, error_rate=0.05),
    "trigger.crashes": _trigger("crashes", crashes, crashes=3),
    "trigger.bots": _trigger("bots", bots, bot_minutes=5),
    "procedure.stopped": stopped,
    "procedure.known_good": known_good,
    "procedure.health": health,
    "procedure.bot": bot,
    "procedure.monitored": watched,
    "procedure.root_cause": root_cause,
}
