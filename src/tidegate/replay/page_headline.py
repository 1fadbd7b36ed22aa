"""What the replay says in plain words: earned or lost, against what, and how little one history proves."""

from typing import Final

from tidegate.backtest.ratios import Z_95
from tidegate.replay.page_figures import LEAST_DAYS, LEAST_TRADES, days_with_return, deployed, judged, too_few
from tidegate.replay.result import Name, PathResult, ReplayResult
from tidegate.report import formats
from tidegate.report.charts.gauge import gauge
from tidegate.report.sections.gates import Tile
from tidegate.report.sections.verdict import Headline
from tidegate.report.table import sign_tone

ONE_HISTORY: Final = "This is one history; it proves nothing by itself."
_PHRASES: Final[dict[Name, str]] = {
    "deployed": "the deployed procedure",
    "checklist": "the policy checklist",
    "balanced": "the policy balanced",
    "strict": "the policy strict",
    "always": "always promoting the newest model",
    "never": "keeping the first model for ever",
    "hold": "buy and hold",
    "flat": "doing nothing",
}


def headline(result: ReplayResult) -> Headline:
    """The verdict. A gain that chance explains as well is never called a profit without saying so; one of few trades, never at all."""
    path = deployed(result)
    summary = path.summary
    if not len(path.net_return):
        return Headline("NOTHING TRADED", "The replay has no month that was traded to its end.", "warn")
    sentence = f"{_deployed(result, path)} {_others(result)}".strip()
    if summary.trades == 0 and summary.total_return == 0:
        return Headline("NEVER TRADED", sentence, "warn")
    if not summary.total_return > 0:  # NaN is no profit either
        return Headline("LOSS" if summary.total_return < 0 else "NO PROFIT", sentence, "bad")
    if too_few(path):
        return Headline("TOO FEW TRADES", sentence, "warn")
    return (
        Headline("PROFIT", sentence, "good")
        if _beyond_chance(path)
        else Headline("PROFIT, WITHIN CHANCE", sentence, "warn")
    )


def _deployed(result: ReplayResult, path: PathResult) -> str:
    months = f"From {result.first_month} to {result.last_month} the deployed procedure (policy {path.policy or 'none'})"
    summary = path.summary
    if summary.trades == 0 and summary.total_return == 0:
        return f"{months} would have traded nothing, and so earned and lost nothing."
    rate = f"{formats.percent(summary.annual_return, 1, signed=True)} a year"
    return f"{months} would have {earned(summary.total_return)} of its capital net of costs, {rate}."


def earned(total: float) -> str:
    """A return in words.

    >>> earned(-0.123).replace(formats.NBSP, " ")
    'lost 12.3 %'
    """
    if not formats.known(total):
        return f"earned an amount that was {formats.NOT_MEASURED}"
    if round(abs(total), 3) == 0:
        return "neither earned nor lost anything to speak of"
    return f"{'earned' if total > 0 else 'lost'} {formats.percent(abs(total), 1)}"


def _others(result: ReplayResult) -> str:
    """Every other path from the best to the worst, and how many of them did better than the deployed one."""
    own = deployed(result).summary.total_return
    others = sorted(
        (path for path in result.paths if path.name != "deployed"), key=lambda path: -path.summary.total_return
    )
    if not others:
        return ""
    said = [f"{_PHRASES[path.name]} {formats.percent(path.summary.total_return, 1, signed=True)}" for path in others]
    better = sum(path.summary.total_return > own for path in others)
    how_many = "all" if better == len(others) > 1 else "none of the" if not better else f"{better} of the"
    place = f"{how_many} {formats.plural(len(others), 'other way')} did better"
    return f"Over the same months, net: {formats.enumerate_words(said)}; {place}."


def _beyond_chance(path: PathResult) -> bool:
    sharpe, error = path.summary.sharpe, path.summary.sharpe_standard_error
    if sharpe is None or error is None or not (formats.known(sharpe) and formats.known(error)):
        return False
    return sharpe - Z_95 * error > 0


def basis(result: ReplayResult) -> str:
    """The Sharpe ratio with its standard error, and what that says and does not say."""
    path = deployed(result)
    return f"{_sharpe_words(path)} {ONE_HISTORY}"


def _sharpe_words(path: PathResult) -> str:
    sharpe, error = path.summary.sharpe, path.summary.sharpe_standard_error
    if sharpe is None or error is None or not (formats.known(sharpe) and formats.known(error)):
        return "There is no Sharpe ratio to judge by."
    if too_few(path):
        return f"{_counted(path)}: too few to tell skill from chance, for which the least is {LEAST_TRADES} trades and {LEAST_DAYS} days."
    said = f"Annual Sharpe ratio {sharpe_with_error(sharpe, error)} (standard error)"
    low, high = sharpe - Z_95 * error, sharpe + Z_95 * error
    span = f"from {formats.decimal(low)} to {formats.decimal(high)}"
    if low <= 0 <= high:
        return f"{said}: true values {span} fit it, zero among them, so chance alone may have brought it."
    side = "skill" if low > 0 else "a procedure that loses money"
    return f"{said}: true values {span} fit it, which speaks for {side}, if these years are like those to come."


def _counted(path: PathResult) -> str:
    days = formats.plural(days_with_return(path), "day")
    return f"{formats.plural(path.summary.trades, 'trade')} on {days} with a return"


def sharpe_with_error(sharpe: formats.Number, error: formats.Number) -> str:
    """A Sharpe ratio with its standard error."""
    if not formats.known(sharpe):
        return formats.DASH
    return f"{formats.decimal(sharpe)} \u00b1{formats.NBSP}{formats.decimal(error) if formats.known(error) else '?'}"


def tiles(result: ReplayResult) -> tuple[Tile, ...]:
    """The six key figures of the deployed path."""
    path = deployed(result)
    summary = path.summary
    months = formats.plural(len(path.months), "month")
    promotions = judged(path, "promotion")
    share = f"{promotions.right} of {promotions.decided}" if promotions.decided else formats.DASH
    interval = (
        f"95 % interval {whole_percents(promotions.low, promotions.high)}"
        if promotions.decided
        else "none has turned out yet"
    )
    left = ", ".join(
        (
            formats.plural(summary.rollbacks, "rollback"),
            formats.plural(summary.halts, "halt"),
            f"{formats.count(summary.expiries)} {'expiry' if summary.expiries == 1 else 'expiries'}",
        )
    )
    return (
        Tile(
            "Net return",
            formats.percent(summary.total_return, 1, signed=True),
            f"{formats.percent(summary.annual_return, 1, signed=True)} a year, profits not reinvested",
            tone=sign_tone(summary.total_return),
        ),
        _sharpe_tile(path),
        Tile("Maximum drawdown", formats.percent(summary.max_drawdown, 1), "from a peak of the equity, at bar closes"),
        Tile(
            "Promotions",
            f"{formats.count(summary.promotions)} in {months}",
            f"{formats.plural(summary.refusals, 'refusal')}, {formats.plural(summary.failures, 'failure')}, {left}",
        ),
        Tile("Promotions that were right", share, f"{interval}; {promotions.undecided} undecided"),
        Tile(
            "Time in the market",
            formats.percent(summary.exposure, 1),
            f"{formats.plural(summary.trades, 'trade')}, costs {formats.percent(summary.costs, 1)} of the capital",
        ),
    )


def whole_percents(low: float, high: float) -> str:
    """An interval of a share, in whole percents: with counts as small as these, more digits would pretend."""
    return f"{formats.percent(low, 0)} to {formats.percent(high, 0)}"


def _sharpe_tile(path: PathResult) -> Tile:
    sharpe, error = path.summary.sharpe, path.summary.sharpe_standard_error
    if sharpe is None or error is None or not (formats.known(sharpe) and formats.known(error)):
        return Tile("Sharpe ratio", formats.NOT_MEASURED, "no trades, or no variation")
    if too_few(path):
        return Tile("Sharpe ratio", formats.decimal(sharpe), f"{_counted(path)}: too few to tell")
    ends = (sharpe - Z_95 * error, sharpe + Z_95 * error)
    words = f"Sharpe ratio {formats.decimal(sharpe)}, 95 % interval {formats.interval(ends, 'ratio')}; the mark is zero"
    detail = f"standard error {formats.decimal(error)}; the mark is zero"
    return Tile("Sharpe ratio", formats.decimal(sharpe), detail, gauge=gauge("sharpe", words, sharpe, ends, 0.0))
