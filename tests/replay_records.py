"""Hand-made replay results for the page's tests: seeded random months of a market and of paths that trade it with more or less skill.

Nothing here runs the replay: figures are drawn, series are added up, and summaries are computed from the series, so that they agree.
"""

from dataclasses import dataclass, replace
from functools import cache
from typing import Final

import numpy as np

from tidegate.backtest.ratios import sharpe, sharpe_standard_error
from tidegate.bars.bars import Floats, Times, parse_time
from tidegate.bars.interval import DAY_MS
from tidegate.replay.result import (
    Act,
    DecisionKind,
    Hindsight,
    Judgement,
    Live,
    MonthRecord,
    Name,
    Outcome,
    PathResult,
    ReplayResult,
    Summary,
    Training,
)
from tidegate.replay.yardstick import ratio_returns

TITLES: Final[dict[Name, str]] = {
    "deployed": "Deployed (balanced)",
    "checklist": "Policy checklist",
    "strict": "Policy strict",
    "always": "Always promote",
    "never": "Never retrain",
    "hold": "Buy and hold",
    "flat": "Flat",
}
COST: Final = 0.0003
REASONS: Final = (
    "Win rate: 54.20 % is under the 58.00 % asked for (gates.win_rate)",
    "Sharpe ratio: 0.84 is under the 1.50 asked for (gates.sharpe)",
    "Skill: p 0.21 is above the level of this look, 0.0042 (gates.yearly_error / gates.looks_per_year)",
    "Maximum drawdown: 19.80 % is over the 15.00 % allowed (gates.max_drawdown)",
    "Better than the champion: the improvement is 1.20 %, 5.00 % is asked for (gates.champion)",
    "Sharpe at 1.5 times the costs: \u22120.12 is under 0 (gates.cost_stress)",
)


@dataclass(frozen=True)
class Chances:
    """How a path behaves: chance a month to promote, to roll back in a month with a version, and its bars' share in the market."""

    promote: float
    roll_back: float
    exposure: float
    edge_bps: float


CHANCES: Final[dict[Name, Chances]] = {
    "deployed": Chances(0.14, 0.10, 0.30, 0.30),
    "checklist": Chances(0.45, 0.16, 0.30, 0.20),
    "strict": Chances(0.04, 0.05, 0.30, 0.3),
    "always": Chances(1.0, 0.16, 0.30, 0.15),
    "never": Chances(0.0, 0.0, 0.30, 0.0),
}


@cache
def replay(months: int = 72, bars_a_day: int = 24, seed: int = 4, edge: float = 1.0) -> ReplayResult:
    """A replay from 2018-01 on; `edge` scales what every path's forecasts are worth."""
    names = [f"{2018 + at // 12}-{at % 12 + 1:02d}" for at in range(months + 1)]
    starts = [parse_time(f"{name}-01") for name in names]
    step = DAY_MS // bars_a_day
    closed_at = np.arange(starts[0] + step, starts[-1] + 1, step, dtype=np.int64)
    rng = np.random.default_rng(seed)
    market = rng.standard_t(4, len(closed_at)) * 0.0055 * np.sqrt(24 / bars_a_day) / np.sqrt(2)
    market += np.repeat(rng.normal(0.00004, 0.00028, months), np.diff(np.searchsorted(closed_at, starts, "right")))
    walked = [
        _path(name, names[:-1], starts, closed_at, market, np.random.default_rng([seed, at]), edge)
        for at, name in enumerate(TITLES)
    ]
    return ReplayResult(
        strategy="btc-1h", kind="real", symbols=("BTC/USDT",), interval="1h", policy="balanced",
        first_month=names[0], last_month=names[-2], start_ms=starts[0], end_ms=starts[-1], capital=10_000.0,
        periods_per_year=365.0 * bars_a_day,
        costs={"fee_bps": 5.0, "half_spread_bps": 0.5, "slippage_bps": 0.5, "impact_coefficient": 0.1},
        seed=7, paths=tuple(walked),
        training=Training(
            months=months, trained=months - 1, reused=1, failed=1, fits=months * 48, fit_s=412.0, workers=2, fits_at_once=1,
            seconds={"bars": 21.4, "training": 262.9, "life": 61.2, "hindsight": 18.6, "total": 371.5}, peak_memory_mb=812.0,
        ),
        libraries={"numpy": "2.4.0", "xgboost": "3.2.0", "vectorbt": "0.28.1", "onnxruntime": "1.23.2"},
        folder="runs/replay/btc-1h-3f9a2c51",
    )  # fmt: skip


def _path(
    name: Name,
    months: list[str],
    starts: list[int],
    closed_at: Times,
    market: Floats,
    rng: np.random.Generator,
    edge: float,
) -> PathResult:
    policy = {"deployed": "balanced", "checklist": "checklist", "strict": "strict"}.get(name, "")
    position, net, records = np.zeros(len(closed_at)), np.zeros(len(closed_at)), []
    version: int | None = None
    costs = np.zeros(len(closed_at))
    for at, month in enumerate(months):
        span = slice(*np.searchsorted(closed_at, starts[at : at + 2], "right").tolist())
        before, number = version, at + 1
        outcome = _outcome(name, at, rng)
        version = number if outcome == "promoted" else version
        after, acts = version, []
        if version is not None:
            position[span], left = _positions(name, span, rng)
            if left is not None:
                acts.append(_act(int(closed_at[left]), version, rng))
                version = acts[0].to_version
        position[span] = 1.0 if name == "hold" else position[span]
        turn = np.abs(np.diff(position[span], prepend=0.0, append=0.0))[:-1]
        costs[span] = turn * (COST if name != "hold" or at == 0 else 0.0)
        skill = CHANCES[name].edge_bps * 1e-4 * edge if name in CHANCES else 0.0
        if name == "hold":
            # It keeps the units it bought, so a bar's profit grows with the price.
            worth = np.concatenate(([1.0], np.cumprod(1.0 + market[: span.stop])))
            net[span] = np.diff(worth[span.start :]) - costs[span]
        else:
            net[span] = position[span] * market[span] + np.abs(position[span]) * skill - costs[span]
        records.append(
            _month(month, starts[at : at + 2], outcome, number, (before, after), net[span], costs[span], acts, rng)
        )
    summary = _summary(
        ratio_returns(name, net), net, costs, position, records, 365.0 * DAY_MS / float(closed_at[1] - closed_at[0])
    )
    return PathResult(name, TITLES[name], policy, closed_at, net, tuple(records), summary)


def _outcome(name: Name, at: int, rng: np.random.Generator) -> Outcome:
    if name in ("hold", "flat"):
        return "none"
    if name == "never":
        return "promoted" if at == 0 else "none"
    if at == 17:
        return "failed"
    return "promoted" if rng.random() < CHANCES[name].promote or (at == 2 and name != "strict") else "refused"


def _positions(name: Name, span: slice, rng: np.random.Generator) -> tuple[Floats, int | None]:
    """Blocks of long, short and flat, and the bar at which the version is left, None where it stays."""
    bars = span.stop - span.start
    held = np.repeat(rng.choice([-1.0, 0.0, 1.0], bars, p=[0.15, 0.7, 0.15]), 16)[:bars] * 0.5
    if rng.random() >= CHANCES[name].roll_back:
        return held, None
    left = int(bars * rng.uniform(0.3, 0.9))
    held[left:] = 0.0
    return held, span.start + left


def _act(at_ms: int, version: int, rng: np.random.Generator) -> Act:
    kind = rng.choice(["rollback", "halt", "expiry"], p=[0.5, 0.2, 0.3])
    if kind == "rollback" and version > 1:
        return Act(at_ms, "rollback", version, version - 1, "sequential test: 31 of 74 trades won, 58 % were promised")
    if kind == "expiry":
        return Act(at_ms, "expiry", version, None, "the version's term ended and nothing newer had been promoted")
    return Act(at_ms, "halt", version, None, "sequential test fired and no good earlier version is left")


def _month(
    month: str,
    span: list[int],
    outcome: Outcome,
    number: int,
    production: tuple[int | None, int | None],
    net: Floats,
    costs: Floats,
    acts: list[Act],
    rng: np.random.Generator,
) -> MonthRecord:
    decided = outcome in ("promoted", "refused")
    ratio = float(rng.normal(1.9 if outcome == "promoted" else 0.4, 0.6))
    reasons = REASONS[int(rng.integers(0, 3)) : 3 + int(rng.integers(0, 4))] if outcome == "refused" else ()
    if outcome == "failed":
        reasons = ("Training: too little history, 90 days are asked for and 62 are there (windows.train_days)",)
    trades = int(np.sum(costs > 0)) // 2
    hindsight = []
    if decided:
        difference = float(rng.normal(0.004, 0.03))
        decision: DecisionKind = "promotion" if outcome == "promoted" else "refusal"
        hindsight.append(Hindsight(decision, number, span[0], span[1], _judgement(difference), difference))
    for act in acts:
        if act.kind != "expiry" and act.from_version is not None:
            # A halt's draw is of its own, so that it moves no other figure.
            draw = rng if act.kind == "rollback" else np.random.default_rng(act.at_ms)
            difference = float(draw.normal(0.0, 0.02))
            hindsight.append(
                Hindsight("rollback", act.from_version, act.at_ms, span[1], _judgement(difference), difference)
            )
    metrics = {
        "sharpe": ratio, "sharpe_standard_error": 1.02, "win_rate": 0.55, "max_drawdown": 0.11, "trades": 310.0,
        "skill_p": float(np.clip(0.5 - ratio * 0.25, 0.0004, 1.0)), "skill_level": 0.05 / 12,
    } if decided else {}  # fmt: skip
    live = Live(
        span[0], span[1], float(net.sum()), float(costs.sum()), trades,
        0.53 if trades else None, float(_falls(net).max()) if trades else None,
    )  # fmt: skip
    version = number if decided else None
    return MonthRecord(
        month, span[0], outcome, version, *production, reasons, metrics, live, tuple(acts), tuple(hindsight)
    )


def _judgement(difference: float) -> Judgement:
    return "undecided" if abs(difference) < 2 * COST else "right" if difference > 0 else "wrong"


def _falls(net: Floats) -> Floats:
    equity = 1.0 + np.concatenate(([0.0], np.cumsum(net)))
    peak = np.maximum.accumulate(equity)
    return np.asarray((peak - equity) / peak)


def _summary(
    returns: Floats, net: Floats, costs: Floats, position: Floats, months: list[MonthRecord], a_year: float
) -> Summary:
    ratio, error = sharpe(returns, a_year), sharpe_standard_error(returns, a_year)
    acts = [act.kind for month in months for act in month.acts]
    outcomes = [month.outcome for month in months]
    return Summary(
        total_return=float(net.sum()), annual_return=float(net.mean() * a_year),
        sharpe=None if np.isnan(ratio) else ratio, sharpe_standard_error=None if np.isnan(error) else error,
        max_drawdown=float(_falls(net).max()), trades=sum(month.live.trades for month in months), costs=float(costs.sum()),
        promotions=outcomes.count("promoted"), refusals=outcomes.count("refused"), failures=outcomes.count("failed"),
        rollbacks=acts.count("rollback"), halts=acts.count("halt"), expiries=acts.count("expiry"),
        exposure=float(np.mean(position != 0)),
    )  # fmt: skip


def short(seed: int = 4, edge: float = 1.0) -> ReplayResult:
    """Six months of four-hour bars: enough for every kind of row, quick to draw."""
    return replay(6, 6, seed, edge)


def never_traded() -> ReplayResult:
    """Every month refused: nothing traded, nothing measured."""
    made = short()
    path = made.paths[0]
    nothing = np.zeros(len(path.closed_at))
    months = [
        replace(
            month, outcome="refused", production_before=None, production_after=None, refusals=REASONS[:3], metrics={}, acts=(),
            live=replace(month.live, net_return=0.0, costs=0.0, trades=0, win_rate=None, max_drawdown=None),
            hindsight=(),
        )
        for month in path.months
    ]  # fmt: skip
    summary = _summary(nothing, nothing, nothing, nothing, months, made.periods_per_year)
    idle = replace(path, net_return=nothing, months=tuple(months), summary=summary)
    return replace(made, paths=(idle, *made.paths[1:]))
