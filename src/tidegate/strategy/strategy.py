"""The strategy file, version 1: everything that one strategy decides. Unknown keys are refused."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from tidegate.bars.interval import DAY_MS, Interval
from tidegate.errors import ConfigurationError
from tidegate.settings.loading import describe, read_yaml
from tidegate.strategy.gates import Gates
from tidegate.strategy.part import Part
from tidegate.strategy.policies import apply_policy

SIMULATED_PREFIX = "SIM"


class FileSource(Part):
    """CSV or Parquet files; the format is detected, or refused with a message."""

    type: Literal["file"]
    path: str = Field(
        description="A file, a folder or a pattern; `{symbol}` is replaced by the symbol without slashes, lower case."
    )
    day_first: bool | None = Field(None, description="Whether 03.04.2017 is the third of April; detected when empty.")
    time_zone: str = Field("UTC", description="Zone of time stamps that carry none.")
    columns: dict[str, str] = Field(default_factory=dict, description="Own column names, such as {opened_at: Date}.")


class DumpSource(Part):
    """An exchange's public dump files (klines, 12 columns), zip or csv, one or a folder of them."""

    type: Literal["dump"]
    path: str = Field(description="A file, a folder or a pattern; `{symbol}` is replaced.")


class FreqtradeSource(Part):
    """Files downloaded by freqtrade, feather or json."""

    type: Literal["freqtrade"]
    path: str = Field(description="A file, a folder or a pattern; `{symbol}` is replaced.")


class CcxtSource(Part):
    """An exchange's HTTP interface through ccxt (extra `ccxt`)."""

    type: Literal["ccxt"]
    exchange: str = Field(description="ccxt's id of the exchange, such as binance.")
    since: str | None = Field(None, description="First bar to fetch, ISO 8601; empty: what the windows need.")
    market: Literal["spot"] = Field(
        "spot", description="Perpetuals and futures are refused: their funding is not modelled."
    )
    page_bars: int = Field(1000, ge=10, le=5000, description="Bars asked for in one request.")
    retries: int = Field(5, ge=0, le=20, description="How often a failed request is tried again.")
    timeout_s: float = Field(20, gt=0, le=300, description="Seconds before a request is given up.")
    options: dict[str, Any] = Field(default_factory=dict, description="Further ccxt options, such as urls.")


class SimulatedSource(Part):
    """The documented market generator. Its bars can only be used by a strategy of kind `simulated`."""

    type: Literal["simulated"]
    seed: int = Field(1, ge=0, description="Same seed, same bars.")
    starts_at: str = Field(
        "2025-01-01T00:00:00Z", description="When the simulated market opens; its past never changes."
    )
    days: int = Field(300, ge=60, le=5000, description="Days of bars to deliver, up to the time of asking.")
    edge: float = Field(1.0, ge=0, le=3, description="Strength of the edge; 0 is a market without any.")
    edge_ends_at: str | None = Field(None, description="When the edge disappears; empty: never.")


Source = Annotated[
    FileSource | DumpSource | FreqtradeSource | CcxtSource | SimulatedSource, Field(discriminator="type")
]


class FeatureUse(Part):
    """One feature or a family of them."""

    use: str = Field(description="A built-in family such as `volatility`, or your own as `module:function`.")
    lengths: tuple[int, ...] = Field(
        (), description="Lengths in bars, one feature each; empty for features without a length."
    )
    lookback: int | None = Field(None, ge=1, description="Bars your own function needs, the current one included.")

    @field_validator("lengths")
    @classmethod
    def _positive(cls, lengths: tuple[int, ...]) -> tuple[int, ...]:
        if any(not 1 <= length <= 5000 for length in lengths):
            raise ValueError("lengths must lie in 1..5000")
        return lengths


class Labels(Part):
    """How the outcome of an entry is judged."""

    method: str = Field(
        "triple_barrier",
        pattern=r"^(triple_barrier|fixed_horizon|[A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_]*)$",
        description="What ends a labelled trade: `triple_barrier`, `fixed_horizon`, or your own as `module:function`.",
    )
    horizon_bars: int = Field(12, ge=1, le=5000, description="Holding time in bars.")
    lookback: int | None = Field(
        None, ge=1, le=5000, description="Bars up to the signal that your own function needs, the signal's included."
    )
    barrier_sigmas: float = Field(
        1.0, gt=0, le=20, description="Barrier distance in volatilities over the horizon (triple barrier)."
    )
    volatility_bars: int = Field(96, ge=5, le=5000, description="Bars from which the volatility is measured.")
    min_barrier_costs: float = Field(
        2.0, ge=0, le=100, description="Barriers are at least this many round-trip costs wide."
    )

    @property
    def is_own(self) -> bool:
        """Whether a function of the user's own says where trades end."""
        return ":" in self.method

    @model_validator(mode="after")
    def _lookback_is_of_own(self) -> Self:
        if self.is_own and self.lookback is None:
            raise ValueError(f"labels.lookback must say how many bars {self.method} looks back on")
        if not self.is_own and self.lookback is not None:
            raise ValueError(f"labels.lookback is of a function of your own; {self.method} has none")
        return self


class Costs(Part):
    """What trading costs. Basis points are of the traded value, per side."""

    fee_bps: float = Field(5.0, ge=0, le=500, description="Fee per side.")
    half_spread_bps: float = Field(0.5, ge=0, le=500, description="Half the bid-ask spread, paid per side.")
    slippage_bps: float = Field(0.5, ge=0, le=500, description="Slippage per side.")
    impact_coefficient: float = Field(
        0.0, ge=0, le=10, description="Y in Y * sigma * sqrt(Q / V): square-root market impact per side."
    )

    @property
    def side_bps(self) -> float:
        """Cost per side without impact, in basis points."""
        return self.fee_bps + self.half_spread_bps + self.slippage_bps


class Windows(Part):
    """What is trained and tested on."""

    train_days: int = Field(
        90, ge=60, le=3650, description="Training window; at least 60 days, 90 or more recommended."
    )
    test_days: int = Field(30, ge=1, le=365, description="Out-of-sample window of one fold.")
    max_folds: int = Field(
        12,
        ge=1,
        le=60,
        description="Walk-forward folds, as many as the data allow up to this; twelve of a month are a year of evidence.",
    )
    embargo_bars: int = Field(12, ge=0, le=5000, description="Gap between training and test, on top of the purge.")
    max_age_days: int = Field(
        45, ge=1, le=365, description="A model expires this long after the end of its newest test window."
    )


SEARCHABLE = (
    "max_depth",
    "learning_rate",
    "min_child_weight",
    "subsample",
    "colsample_bytree",
    "reg_lambda",
    "max_bin",
)


class Search(Part):
    """Hyperparameter search with Optuna, inside each training window."""

    trials: int = Field(0, ge=0, le=1000, description="Trials per fold; 0 is no search.")
    space: dict[str, tuple[float, float]] = Field(
        default_factory=lambda: {"max_depth": (2, 6), "learning_rate": (0.01, 0.2), "min_child_weight": (1, 50)},
        description="Parameter: lowest and highest value.",
    )

    @field_validator("space")
    @classmethod
    def _known(cls, space: dict[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
        for name, (low, high) in space.items():
            if name not in SEARCHABLE:
                raise ValueError(f"{name!r} cannot be searched, only {', '.join(SEARCHABLE)}")
            if not 0 <= low < high:
                raise ValueError(f"{name} must be [lowest, highest] with 0 <= lowest < highest")
        return space


class Model(Part):
    """The XGBoost model."""

    max_rounds: int = Field(300, ge=1, le=10_000, description="Most boosting rounds; early stopping chooses fewer.")
    early_stopping_rounds: int = Field(30, ge=1, le=1000, description="Rounds without improvement before stopping.")
    max_depth: int = Field(4, ge=1, le=16, description="Depth of a tree.")
    learning_rate: float = Field(0.05, gt=0, le=1, description="Shrinkage of each tree.")
    min_child_weight: float = Field(20.0, ge=0, description="Least sum of instance weight in a leaf.")
    subsample: float = Field(0.8, gt=0, le=1, description="Share of rows for each tree.")
    colsample_bytree: float = Field(0.8, gt=0, le=1, description="Share of features for each tree.")
    reg_lambda: float = Field(5.0, ge=0, description="L2 regularisation.")
    max_bin: int = Field(256, ge=16, le=1024, description="Histogram bins.")
    inner_folds: int = Field(3, ge=2, le=10, description="Purged, time-ordered folds inside the training window.")
    seed: int = Field(7, ge=0, description="Seed of every random choice.")
    search: Search = Field(default_factory=Search, description="Hyperparameter search.")


class Policy(Part):
    """How probabilities become positions. Entry thresholds are chosen inside the training window from these candidates."""

    margins: tuple[float, ...] = Field(
        (0.02, 0.04, 0.06, 0.08, 0.10, 0.13, 0.16),
        min_length=1,
        description="Candidate distances from one half at which a position is entered.",
    )
    min_trades_per_day: float = Field(
        0.5, ge=0, description="Candidates that trade less inside the training window are passed over."
    )
    take_profit_barriers: float = Field(
        1.0, gt=0, le=100, description="Take-profit, in the training window's median barrier distance."
    )
    stop_barriers: float = Field(
        1.0, gt=0, le=100, description="Stop, in the training window's median barrier distance."
    )
    sides: Literal["both", "long", "short"] = Field("both", description="Which sides are traded.")
    flip: bool = Field(True, description="Whether an opposite signal turns a position around at once.")

    @field_validator("margins")
    @classmethod
    def _ascending(cls, margins: tuple[float, ...]) -> tuple[float, ...]:
        if list(margins) != sorted(set(margins)) or not 0 <= margins[0] <= margins[-1] < 0.5:
            raise ValueError("margins must ascend within [0, 0.5)")
        return margins


class Monitor(Part):
    """What is watched after promotion, and how unlikely an unfounded alarm has to be."""

    yearly_false_alarms: float = Field(
        0.1,
        gt=0,
        le=10,
        description="False alarms a year that the sequential test on closed trades may raise on a healthy model.",
    )
    window_days: int = Field(30, ge=1, le=400, description="Days that live figures are computed over.")
    without_answer: Literal["flat", "hold"] = Field(
        "flat", description="What the bot does at a bar without an answer; live figures count accordingly."
    )
    drift_days: int = Field(7, ge=1, le=90, description="Days of the current window of the drift tests.")
    drift_false_discovery_rate: float = Field(
        0.05, gt=0, lt=1, description="Rate of false discoveries over all features (Benjamini-Hochberg)."
    )
    drift_effect: float = Field(
        0.2, gt=0, le=10, description="Population stability index under which a difference is no drift, however sure."
    )
    importance_change: float = Field(
        0.5,
        gt=0,
        le=1,
        description="Share of the importance that may have moved to other features since the model before.",
    )


RuleAction = Literal["observe", "alert", "roll_back"]


class Rollback(Part):
    """When to go back, and what each rule does: `observe` records, `alert` tells people, `roll_back` acts as well.

    `latency`, `errors`, `crashes` and `bots` roll back only where the fault began with the version in production, and alert else.
    """

    sequential_action: RuleAction = Field(
        "roll_back", description="The sequential test on closed trades; monitor.yearly_false_alarms is its error rate."
    )
    win_rate: float = Field(0.52, gt=0, lt=1, description="Lowest win rate of the last win_rate_window_days.")
    win_rate_days: int = Field(3, ge=1, le=60, description="Days in a row under it.")
    win_rate_window_days: int = Field(7, ge=1, le=90, description="Days that each day's win rate looks back on.")
    win_rate_action: RuleAction = Field(
        "alert", description="The win rate's rule; it fires on most healthy models within a year."
    )
    sharpe: float = Field(1.0, description="Lowest annual Sharpe ratio of the last sharpe_window_days.")
    sharpe_window_days: int = Field(30, ge=2, le=365, description="Days that the Sharpe ratio looks back on.")
    sharpe_action: RuleAction = Field(
        "alert", description="The Sharpe ratio's rule; it fires on most healthy models within a year."
    )
    min_trades: int = Field(10, ge=1, description="Closed trades under which win rate and Sharpe ratio say nothing.")
    drift_action: RuleAction = Field("alert", description="The drift tests.")
    latency_p95_ms: float = Field(20.0, gt=0, description="Highest p95 of predictions, in each of latency_minutes.")
    latency_minutes: int = Field(5, ge=1, le=1440, description="Minutes in a row above it.")
    latency_action: RuleAction = Field("roll_back", description="The latency rule.")
    error_rate: float = Field(0.05, gt=0, lt=1, description="Highest share of predictions that the service fails.")
    error_minutes: int = Field(5, ge=1, le=1440, description="Minutes that the share is taken over.")
    error_action: RuleAction = Field("roll_back", description="The error-rate rule.")
    min_requests: int = Field(
        20, ge=1, description="Predictions under which latency and error rate look further back, at most a day."
    )
    crashes: int = Field(
        3, ge=2, le=100, description="Starts of one instance within crash_minutes: it crashes repeatedly."
    )
    crash_minutes: int = Field(10, ge=1, le=1440, description="Minutes that starts are counted over.")
    crash_action: RuleAction = Field("roll_back", description="The crash rule.")
    bot_minutes: int = Field(2, ge=1, le=1440, description="Minutes that a bot must call the service unreachable.")
    bot_action: RuleAction = Field("roll_back", description="The rule on what bots say.")
    attribution_minutes: int = Field(
        30,
        ge=1,
        le=10_080,
        description="A fault that shows this long after a version's start, and not before it, began with it.",
    )
    cooldown_minutes: int = Field(
        30,
        ge=0,
        le=10_080,
        description="Minutes after an automatic act in which no automatic rollback follows; a halt may.",
    )
    watch_minutes: int = Field(30, ge=1, le=1440, description="Minutes that a rollback is watched for.")


class Strategy(Part):
    """One strategy, read from one YAML file."""

    version: Literal[1] = Field(description="Version of the file format.")
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{1,62}$", description="The strategy's id, used everywhere.")
    kind: Literal["real", "simulated"] = Field(description="Whether the bars are a market's or the simulator's.")
    symbols: tuple[str, ...] = Field(min_length=1, max_length=50, description="What is traded.")
    combine: Literal["pooled", "separate"] = Field("pooled", description="One model for all symbols, or one each.")
    interval: str = Field(description="The bars' interval, such as 5m.")
    source: Source = Field(description="Where bars come from.")
    calendar: Literal["24/7", "fx"] = Field(
        "24/7", description="When the market is open; fx is Sunday to Friday, 17:00 New York."
    )
    features: tuple[FeatureUse, ...] = Field(default=(), description="Features; empty: the standard set.")
    labels: Labels = Field(default_factory=Labels, description="Labels.")
    costs: Costs = Field(default_factory=Costs, description="Trading costs.")
    windows: Windows = Field(default_factory=Windows, description="Windows.")
    model: Model = Field(default_factory=Model, description="The model.")
    policy: Policy = Field(default_factory=Policy, description="Positions.")
    gates: Gates = Field(default_factory=Gates, description="Gates.")
    monitor: Monitor = Field(default_factory=Monitor, description="Monitoring.")
    rollback: Rollback = Field(default_factory=Rollback, description="Rollback.")
    capital: float = Field(
        10_000.0, gt=0, description="Capital in the quote currency; each trade uses a symbol's share of it."
    )

    @field_validator("interval")
    @classmethod
    def _known_interval(cls, interval: str) -> str:
        Interval(interval)
        return interval

    @field_validator("symbols")
    @classmethod
    def _sane_symbols(cls, symbols: tuple[str, ...]) -> tuple[str, ...]:
        for symbol in symbols:
            if not re.fullmatch(r"[A-Z0-9]+([/:.-][A-Z0-9]+)*", symbol):
                raise ValueError(f"symbol {symbol!r} must look like BTC/USDT")
        if len(set(symbols)) != len(symbols):
            raise ValueError("a symbol is named twice")
        return symbols

    @model_validator(mode="after")
    def _honest_kind(self) -> Self:
        simulated = self.kind == "simulated"
        if simulated != (self.source.type == "simulated"):
            raise ValueError("kind simulated and source simulated go together")
        for symbol in self.symbols:
            if simulated != symbol.startswith(SIMULATED_PREFIX):
                raise ValueError(
                    f"symbol {symbol!r}: names beginning with {SIMULATED_PREFIX} are for simulated bars only"
                )
        if simulated != self.name.startswith("simulated"):
            raise ValueError("names beginning with 'simulated' are for simulated strategies, and those must use one")
        slugs = [slug(symbol) for symbol in self.symbols]
        if len(set(slugs)) != len(slugs):
            raise ValueError("two symbols differ only in punctuation, so their files would collide")
        for single in slugs if self.combine == "separate" else ():
            if len(f"{self.name}-{single}") > 64:
                raise ValueError(f"name {self.name!r} is too long for one model a symbol: {self.name}-{single}")
        if self.gates.champion.blocking and self.gates.champion_min_days > self.windows.test_days:
            raise ValueError(
                f"gates.champion_min_days ({self.gates.champion_min_days}) is longer than windows.test_days ({self.windows.test_days}): "
                "no challenger could ever replace a champion"
            )
        if self.windows.embargo_bars * self.bar.milliseconds > self.windows.train_days * DAY_MS:
            raise ValueError("windows.embargo_bars is longer than the training window")
        return self

    @property
    def bar(self) -> Interval:
        """The bars' interval."""
        return Interval(self.interval)

    @property
    def periods_per_year(self) -> float:
        """Bars a year on the market's calendar: 365 days, or 52 weeks of five days for fx."""
        days = 365.0 if self.calendar == "24/7" else 260.0
        return days * DAY_MS / self.bar.milliseconds

    def single(self) -> "tuple[Strategy, ...]":
        """The strategies to train: itself, or one a symbol when `combine` is `separate`."""
        if self.combine == "pooled" or len(self.symbols) == 1:
            return (self,)
        return tuple(
            self.model_copy(update={"name": f"{self.name}-{slug(symbol)}", "symbols": (symbol,), "combine": "pooled"})
            for symbol in self.symbols
        )


def slug(symbol: str) -> str:
    """A symbol as part of a file name.

    >>> slug("BTC/USDT")
    'btcusdt'
    """
    return re.sub(r"[^a-z0-9]", "", symbol.lower())


def load_strategy(path: Path, policies: Path | None = None) -> Strategy:
    """Read a strategy file.

    Args:
        path: of the file.
        policies: folder of the named gate policies; by default `policies` beside the file's folder.
    Raises:
        ConfigurationError: the file is missing or wrong; the message names each wrong key. Or its gate policy is unknown.
    """
    content = apply_policy(read_yaml(path), policies or path.parent.parent / "policies", path)
    try:
        return Strategy.model_validate(content)
    except ValidationError as error:
        raise ConfigurationError(f"strategy file {path} is wrong: {describe(error)}") from error


def find_strategy(name: str, folder: Path) -> Strategy:
    """Read a strategy by its name from a folder, or by the path of its file.

    Raises:
        ConfigurationError: there is none, or its file is wrong or names another strategy.
    """
    if name.endswith((".yaml", ".yml")):
        return load_strategy(Path(name), folder.parent / "policies")
    path = folder / f"{name}.yaml"
    if not path.exists():
        known = ", ".join(sorted(file.stem for file in folder.glob("*.yaml"))) or "none"
        raise ConfigurationError(f"strategy {name!r} has no file {path}", next_step=f"known strategies: {known}")
    strategy = load_strategy(path)
    if strategy.name != name:
        raise ConfigurationError(f"strategy file {path} names another strategy", expected=name, actual=strategy.name)
    return strategy
