"""The bots: their heartbeats, their own metrics, and the records of their checks."""

import json
import math
from collections.abc import Mapping
from functools import partial
from typing import Final

from tidegate.checklist.context import Context
from tidegate.checklist.finding import Finding, NotMeasured, judged
from tidegate.checklist.probe import Probe
from tidegate.checklist.probes.latency import total

FRESH_S: Final = 300.0
BOT_CHECK: Final = "tidegate bot check --config bot.toml --json > runs/checklist/bot-check.json"
CONFORMANCE: Final = 'python clients/conformance/kit.py --driver "..." --json runs/checklist/conformance.json'


def client(context: Context) -> Finding:
    """Each bot that is known has sent a heartbeat within five minutes."""
    silent = _silent(context)
    told = ", ".join(f"{bot['bot']} {bot['age_s']:.0f} s ago" for bot in context.bots)
    return judged(not silent, f"heartbeats: {told}; silent: {', '.join(silent) or 'none'}", context.service.address)


def _silent(context: Context) -> list[str]:
    """Bots whose last word is older than five minutes: it says nothing of now."""
    return [bot["bot"] for bot in context.bots if not 0 <= float(bot["age_s"]) <= FRESH_S]


def configuration(context: Context) -> Finding:
    """The record of the bot's own check: everything passed."""
    told = context.record("bot-check.json", BOT_CHECK)
    wrong = [str(one["name"]) for one in told["checked"] if one["passed"] is not True]
    evidence = f"{len(told['checked'])} things were checked, {len(wrong)} did not pass{': ' + ', '.join(wrong) if wrong else ''}"
    return judged(
        told["passed"] is True and not wrong and bool(told["checked"]),
        evidence,
        str(context.settings.checklist.records / "bot-check.json"),
    )


def conformance(context: Context, *, subjects: tuple[str, ...]) -> Finding:
    """The conformance kit's last record: every case of these subjects was played and passed. Which cases there are says the kit, where it is here.

    Args:
        context: what is looked at.
        subjects: of cases, as the kit names them.
    """
    told = context.record("conformance.json", CONFORMANCE)
    cases = [one for one in told["cases"] if one["subject"] in subjects]
    wrong = [one["name"] for one in cases if one["passed"] is not True]
    played = {one["name"] for one in cases}
    absent = sorted(set(subjects) - {one["subject"] for one in cases})
    absent += [name for subject in subjects for name in _cases(context, subject) if name not in played]
    evidence = f"{len(cases)} cases of {', '.join(subjects)}, {len(wrong)} failed{': ' + wrong[0] if wrong else ''}; not played: {', '.join(absent[:5]) or 'none'}"
    return judged(not wrong and not absent, evidence, str(context.settings.checklist.records / "conformance.json"))


def _cases(context: Context, subject: str) -> list[str]:
    path = context.root / "clients" / "conformance" / "cases" / f"{subject}.json"
    if not path.is_file():
        return []
    return [str(one["name"]) for one in json.loads(path.read_text(encoding="utf-8"))["cases"]]


def end_to_end(context: Context) -> Finding:
    """Each bot decides by the model, and the version that it saw last is the one in production."""
    version = context.state.current
    wrong = [
        bot["bot"] for bot in context.bots if bot["last_version"] != version or bot["decisions"].get("model", 0) < 1
    ]
    told = ", ".join(
        f"{bot['bot']}: v{bot['last_version']}, {bot['decisions'].get('model', 0)} decisions of the model"
        for bot in context.bots
    )
    silent = _silent(context)
    return judged(
        version is not None and not wrong and not silent,
        f"v{version} is in production; {told}; silent: {', '.join(silent) or 'none'}",
        context.service.address,
    )


def dry_run(context: Context) -> Finding:
    """A bot runs dry now; or Prometheus remembers that those that act now ran dry before."""
    live = [bot["bot"] for bot in context.bots if not bot["dry_run"]]
    if not live:
        return judged(True, f"{len(context.bots)} bots run dry: {', '.join(bot['bot'] for bot in context.bots)}")
    seen = context.prometheus.values("max_over_time(tidegate_client_dry_run[90d])")
    dry = sum(value == 1 for value in seen)
    return judged(
        dry >= len(live),
        f"{len(live)} bots act; of {len(seen)} bots that Prometheus knows {dry} ran dry within 90 days",
        context.prometheus.address,
    )


def network(context: Context) -> Finding:
    """Bots reach the service: their own metrics say that it answers, and their breakers are closed."""
    open_ones = [bot["bot"] for bot in context.bots if bot["breaker"] != "closed"]
    away = [
        address
        for address, found in context.bot_metrics.items()
        if total(found, "tidegate_client_health") != 1
    ]  # fmt: skip
    evidence = f"{len(context.bots)} bots, breakers not closed: {', '.join(open_ones) or 'none'}; {len(context.bot_metrics)} say by themselves how they reach it, not ready: {', '.join(away) or 'none'}"
    silent = _silent(context)
    return judged(not open_ones and not away and not silent, f"{evidence}; silent: {', '.join(silent) or 'none'}")


def timeouts(context: Context) -> Finding:
    """Deadlines hold in the conformance kit, and live: 99 % of the decisions took less than half a second."""
    kept = conformance(context, subjects=("deadlines",))
    slow = {address: _share_above(found, 0.5) for address, found in context.bot_metrics.items()}
    if any(math.isnan(share) for share in slow.values()):
        raise NotMeasured(f"{kept.evidence}; a bot has made no decision yet")
    worst = max(slow.values())
    return judged(
        kept.verdict == "pass" and worst <= 0.01,
        f"{kept.evidence}; live, {worst:.2%} of the decisions took more than 0.5 s",
        kept.link,
    )


def _share_above(found: "Mapping[str, list[tuple[Mapping[str, str], float]]]", bound_s: float) -> float:
    name = "tidegate_client_decide_seconds"
    count = sum(value for _, value in found.get(f"{name}_count", ()))
    within = sum(value for labels, value in found.get(f"{name}_bucket", ()) if float(labels["le"]) == bound_s)
    return (count - within) / count if count else math.nan


def health_polling(context: Context) -> Finding:
    """Each bot asks the service for its health."""
    asked = {
        address: total(found, "tidegate_client_requests_total", route="/readyz")
        for address, found in context.bot_metrics.items()
    }
    told = ", ".join(f"{address}: {count:.0f} looks at /readyz" for address, count in asked.items())
    return judged(all(count > 0 for count in asked.values()), told)


PROBES: Final[Mapping[str, Probe]] = {
    "bot.client": client,
    "bot.configuration": configuration,
    "bot.fallback": partial(conformance, subjects=("fallbacks",)),
    "bot.end_to_end": end_to_end,
    "bot.dry_run": dry_run,
    "communication.network": network,
    "communication.timeouts": timeouts,
    "communication.retries": partial(conformance, subjects=("retries", "rate_limits")),
    "communication.breaker": partial(conformance, subjects=("breaker",)),
    "communication.health_polling": health_polling,
}
