"""Whether what a run stands on reaches up to its time: bars that are old or missing, and a model that names no position.

Rules see neither. Where bars or answers end early, no trade is closed any more, and each rule stays as quiet as it last was.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from tidegate.bars.bars import Bars
from tidegate.bars.interval import DAY_MS
from tidegate.monitoring.balance import first_answer
from tidegate.monitoring.outcomes import NO_ROW, rows_by_bar
from tidegate.monitoring.predictions import NO_TARGET, Mask, Predictions
from tidegate.monitoring.result import Balance
from tidegate.pipeline.monitor_job import MonitorJob
from tidegate.pipeline.monitor_sources import Production
from tidegate.report import formats
from tidegate.validation.rules import Context, stale

MAX_UNANSWERED_SHARE: Final = 0.2
"""Share of the window's bars without a named position above which the figures are those of another, rarer strategy; what the alert on bots'
fallbacks allows as well."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What speaks against the figures themselves.

    Attributes:
        until: UTC ms up to which there is something to judge: the run's time, or, where bars are old, the last close that all symbols have.
        doubts: sentences.
    """

    until: int
    doubts: tuple[str, ...]


def evidence_of(
    job: MonitorJob, predictions: Predictions, bars: Mapping[str, Bars], found: Balance, production: Production
) -> Evidence:
    """What a run may stand on.

    Args:
        job: the run; `validation.stale_after_bars` and `validation.max_missing_share` are the bounds for bars.
        predictions: of the window.
        bars: by symbol, every symbol of the strategy.
        found: where the rows went.
        production: what is in production.
    """
    known = {symbol: bars[symbol].until(job.as_of) for symbol in job.strategy.symbols}
    old = _old(job, known)
    ends = [int(part.closed_at[-1]) if len(part) else predictions.window_start_at for part in known.values()]
    return Evidence(
        until=min(ends) if old else job.as_of,
        doubts=(*old, *_unmatched(job, found), *_silence(job, predictions, known, production)),
    )


def _old(job: MonitorJob, known: Mapping[str, Bars]) -> list[str]:
    context = Context(job.settings.validation, job.strategy.calendar, job.as_of)
    told = []
    for symbol, part in known.items():
        flag = stale(part, context)
        if not len(part):
            told.append(f"the store holds no bars of {symbol}")
        elif flag is not None:
            told.append(f"the bars of {symbol} are old: {flag.message}")
    return told


def _unmatched(job: MonitorJob, found: Balance) -> list[str]:
    rules = job.settings.validation
    answers = found.counted + found.not_yet_known + found.superseded + found.unmatched
    # As many bars as may be late are no gap, so a young log is not doubted for its newest answers.
    late = rules.stale_after_bars * len(job.strategy.symbols)
    if found.unmatched <= max(late, rules.max_missing_share * answers):
        return []
    told = (
        f"{formats.count(found.unmatched)} of {formats.plural(answers, 'answer')} are about bars that the store does not hold: at most "
        f"{formats.percent(rules.max_missing_share)} may be (validation.max_missing_share)"
    )
    return [told]


def _silence(job: MonitorJob, predictions: Predictions, known: Mapping[str, Bars], production: Production) -> list[str]:
    window = {symbol: part.between(predictions.window_start_at, job.as_of) for symbol, part in known.items()}
    start = first_answer(predictions, window)
    if start is None:
        return []
    newest = job.as_of - max(DAY_MS, job.strategy.bar.milliseconds)
    mine = _in_production(job, predictions, production, newest)
    silent, bars, named = [], 0, 0
    for symbol, part in window.items():
        said = _named(predictions, part, ~predictions.shadow) & (part.closed_at >= start)
        bars += int((part.closed_at >= start).sum())
        named += int(said.sum())
        today = part.closed_at > newest
        if today.any() and not (_named(predictions, part, mine) & today).any():
            silent.append(symbol)
    told = []
    if silent:
        told.append(
            f"v{production.version} named no position for {formats.enumerate_words(silent)} in the newest day, though the market was open"
        )
    if bars and 1 - named / bars > MAX_UNANSWERED_SHARE:
        told.append(
            f"production named a position at {formats.count(named)} of {formats.plural(bars, 'bar')} since its first answer: it may "
            f"abstain, or not be asked, at {formats.percent(MAX_UNANSWERED_SHARE, 0)} of them at most"
        )
    return told


def _in_production(job: MonitorJob, predictions: Predictions, production: Production, newest: int) -> Mask:
    """(N,) rows that show production to be alive: those of the version, or of any where it may have come within the day."""
    entered = production.entered_at
    if production.version is None or not job.by_clock or entered is None or entered > newest:
        return np.asarray(~predictions.shadow)
    return predictions.of(production.version)


def _named(predictions: Predictions, part: Bars, chosen: Mask) -> Mask:
    """(n,) bars at which a position was named."""
    row = rows_by_bar(predictions, part, chosen)
    there = row != NO_ROW
    said = np.zeros(len(part), dtype=np.bool_)
    said[there] = predictions.target[row[there]] != NO_TARGET
    return said
