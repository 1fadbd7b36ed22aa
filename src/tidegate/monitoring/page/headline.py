"""The verdict of a monitoring run: one word, the sentence after it, and what it stands on."""

from typing import Final

from tidegate.bars.interval import DAY_MS
from tidegate.monitoring.page.record import FindingLine, MonitorRecord
from tidegate.report import formats
from tidegate.report.sections.verdict import Headline

_ACTS: Final = {"observe": "records", "alert": "alerts", "roll_back": "rolls back"}


def headline(record: MonitorRecord) -> Headline:
    """The verdict. A model is never called healthy on the record's word alone: what speaks against it is looked for here."""
    why = _sentence(record.reason)
    if record.outcome == "rolled_back":
        left = "The version in production" if record.version is None else f"Version {record.version}"
        now = "and nothing is in production now" if record.now is None else f"and version {record.now} is in production"
        return Headline("ROLLED BACK", f"{left} was left, {now}. {why}".strip(), "bad")
    if record.outcome == "halted":
        return Headline(
            "HALTED", f"No version is in production: serving abstains, so the bot goes flat. {why}".strip(), "bad"
        )
    if record.outcome == "nothing_to_monitor":
        return Headline("NOTHING TO MONITOR", why or "The run says no more.", "warn")
    doubts = speaks_against(record)
    if doubts or record.outcome != "healthy":
        return _watch(record, doubts, why)
    traded = 0 if record.since is None else len(record.since.trade_won)
    blind = [line.rule for line in record.findings if line.verdict == "not_enough_evidence"]
    unknown = f", though {formats.enumerate_words(blind)} had not enough evidence" if blind else ""
    judged = f"{formats.plural(traded, 'closed trade')} since it entered production"
    rules = formats.plural(len(record.findings), "rule")
    text = f"Version {record.version} stays in production: none of {rules} fired, with {judged}{unknown}."
    return Headline("HEALTHY", text, "good")


def _watch(record: MonitorRecord, doubts: tuple[str, ...], why: str) -> Headline:
    acting = [line.rule for line in record.findings if line.verdict == "fired" and line.action == "roll_back"]
    if acting:
        rules = formats.enumerate_words(acting)
        text = f"Version {record.version} stays in production although {rules}, which may roll back, fired. {why}"
        return Headline("WATCH", text.strip(), "bad")
    if record.outcome == "healthy":
        text = f"The run found nothing wrong, but {formats.enumerate_words(doubts)}. {why}"
        return Headline("WATCH", text.strip(), "warn")
    return Headline("WATCH", why or "The run says no more.", "warn")


def speaks_against(record: MonitorRecord) -> tuple[str, ...]:
    """Why a model must not be called healthy; empty only where something was measured up to the run's time, no rule fired and no acting rule lacks evidence."""
    found = []
    if record.version is None:
        found.append("no version was in production")
    if record.since is None or not len(record.since.trade_won):
        found.append("no closed trade of the version was measured")
    fired = [line.rule for line in record.findings if line.verdict == "fired"]
    if fired:
        found.append(f"{formats.enumerate_words(fired)} fired")
    acting = [line for line in record.findings if line.action == "roll_back"]
    if not record.findings:
        found.append("no rule was judged")
    elif not acting:
        found.append("no rule was asked that may roll back")
    blind = [line.rule for line in acting if line.verdict == "not_enough_evidence"]
    if blind:
        found.append(f"{formats.enumerate_words(blind)}, which may roll back, had not enough evidence")
    return (*found, *record.doubts)


def basis(record: MonitorRecord) -> str:
    """What the verdict stands on."""
    days = (record.as_of - record.window_start_at) / DAY_MS
    window = f"Window of {formats.decimal(days, 0)} days up to {formats.moment(record.as_of)}, by the bars' closes"
    if record.live is None:
        return f"{window}; there were no figures to compute."
    balance = record.live.balance
    return (
        f"{window}: {formats.count(balance.counted)} of {formats.plural(balance.rows, 'row')} of the prediction log are "
        "answers that figures are computed from. All figures are net of the costs assumed."
    )


def action_in_words(line: FindingLine) -> str:
    """What a rule does when it fires."""
    return _ACTS.get(line.action, line.action)


def _sentence(text: str) -> str:
    text = text.strip()
    if not text:
        return ""
    text = text[0].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else f"{text}."
