"""Which months are replayed, with what, and in which folder: everything that workers have to know, as files and plain text."""

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from tidegate.bars.bars import iso
from tidegate.bars.interval import DAY_MS
from tidegate.durable import write_whole
from tidegate.errors import ConfigurationError
from tidegate.features.features import resolve
from tidegate.gates.evaluation import require_sane
from tidegate.pipeline.fold_identity import NO_PART_IN_A_MODEL
from tidegate.settings.settings import Compute, Paths, Settings, Validation
from tidegate.strategy.gates import POLICIES, Gates
from tidegate.strategy.policies import named_policies, under
from tidegate.strategy.strategy import Strategy

CONFIGURATION: Final = "configuration.json"
_DIGITS: Final = 12
# Rules of validation that judge a bar by later ones too: a replay knows a whole month of them, and a bot that trades does not.
_LOOK_AHEAD: Final = ("zero_volume", "flat", "jumps", "unit_mixup")
_MOST_MISSING: Final = 0.9


@dataclass(frozen=True, slots=True)
class Month:
    """One month: the retrain at its first moment, and trading until the first moment of the next.

    Attributes:
        name: such as 2018-01.
        as_of_ms: UTC ms of the retrain; no bar that closed later is known to it.
        end_ms: UTC ms of the next retrain.
    """

    name: str
    as_of_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class Plan:
    """One replay of one model.

    Attributes:
        strategy: of one model (see `Strategy.single`).
        settings: of the installation; validation and compute take part, and `paths.runs`.
        root: the project's folder; relative paths of sources, and modules with own features, are found from it.
        folder: where everything of this replay is kept; the same for the same configuration, whatever its months.
        months: oldest first, without gaps.
        policies: gates by name: `deployed` are the strategy's own; the named policies that it does not follow itself, with its thresholds.
    """

    strategy: Strategy
    settings: Settings
    root: Path
    folder: Path
    months: tuple[Month, ...]
    policies: Mapping[str, Gates]

    @property
    def start_ms(self) -> int:
        """UTC ms of the first retrain."""
        return self.months[0].as_of_ms

    @property
    def end_ms(self) -> int:
        """UTC ms at which the last month ends."""
        return self.months[-1].end_ms

    def reference(self, month: Month) -> str:
        """A month as plain text, for a worker in another process or on another machine that sees the same folder."""
        return str(self.folder / "months" / month.name)


def make_plan(
    strategy: Strategy, settings: Settings, root: Path, first: str, last: str, *, out: Path | None = None
) -> Plan:
    """Plan a replay; nothing is read or written.

    Args:
        strategy: of one model.
        settings: of the installation.
        root: the project's folder.
        first: month such as 2018-01.
        last: month such as 2023-12, inclusive.
        out: the folder of all replays; by default `replay` under `paths.runs`.
    Raises:
        ConfigurationError: the months cannot be read or are in the wrong order, a rule of the strategy or of validation cannot be judged in
            a replay, or a gate's threshold makes no sense.
    """
    _require_judgeable(strategy)
    _require_blind(settings.validation)
    found, policies = months_between(first, last), _policies(strategy, settings)
    for gates in policies.values():
        require_sane(gates)
    place = out if out is not None else settings.paths.runs / "replay"
    digest = hashlib.sha256(json.dumps(_identity(strategy, settings), sort_keys=True).encode()).hexdigest()
    folder = place.resolve() / f"{strategy.name}-{digest[:_DIGITS]}"
    return Plan(strategy, settings, root, folder, found, policies)


def require_past(plan: Plan, now_ms: int) -> None:
    """Refuse months that are not over yet; a simulated market has no today.

    Raises:
        ConfigurationError: the last month has not ended.
    """
    if plan.strategy.kind == "real" and plan.end_ms > now_ms:
        raise ConfigurationError(
            f"{plan.strategy.name}: the last month of a replay is not over",
            expected=f"a month that ended by {iso(now_ms)}",
            actual=plan.months[-1].name,
            next_step="choose an earlier month by --to",
        )


def months_between(first: str, last: str) -> tuple[Month, ...]:
    """All months from `first` to `last`, both inclusive.

    >>> [month.name for month in months_between("2018-12", "2019-01")]
    ['2018-12', '2019-01']

    Raises:
        ConfigurationError: not two months in order.
    """
    start, end = (_parse(text) for text in (first, last))
    if end < start:
        raise ConfigurationError(
            "a replay's months are in the wrong order", expected=f"--to {first} or later", actual=last
        )
    edges = np.arange(start, end + 2, dtype="datetime64[M]")
    moments = edges.astype("datetime64[ms]").astype(np.int64).tolist()
    return tuple(
        Month(str(name), at, until) for name, at, until in zip(edges[:-1], moments[:-1], moments[1:], strict=True)
    )


def first_wanted_ms(strategy: Strategy, as_of_ms: int, missing_share: float) -> int:
    """UTC ms of the first bar that features, labels and all folds of a retrain can need.

    Bars may be missing: as many as validation lets pass, a share of the whole span under 1, have to be made up for by earlier ones.
    """
    windows = strategy.windows
    bars = resolve(strategy.features).lookback + strategy.labels.volatility_bars + windows.embargo_bars
    days = windows.train_days + windows.max_folds * windows.test_days + bars * strategy.bar.milliseconds / DAY_MS
    weekends = 1.0 if strategy.calendar == "24/7" else 7.0 / 5.0
    return as_of_ms - int((days * weekends / (1.0 - missing_share) + 7.0) * DAY_MS)


def write_configuration(plan: Plan) -> None:
    """Write what workers read. A run with other gates replaces it; nothing that was trained depends on them."""
    content = {
        "strategy": plan.strategy.model_dump(mode="json"),
        "validation": plan.settings.validation.model_dump(mode="json"),
        "compute": plan.settings.compute.model_dump(mode="json"),
        "root": str(plan.root),
        "permuted": asdict(permuted_of(plan)),
    }
    write_whole(plan.folder / CONFIGURATION, json.dumps(content, indent=1, sort_keys=True) + "\n")


@dataclass(frozen=True, slots=True)
class Permuted:
    """How many models are trained on permuted labels, and where: it is most of a month's work, and seldom makes a difference.

    Attributes:
        draws: as many as any path's policy asks for, 0 for none.
        p_value: of the gate `skill`; above it that gate refuses under every policy that asks for permutations, whatever they would show.
    """

    draws: int
    p_value: float


def permuted_of(plan: Plan) -> Permuted:
    """What the paths of a replay need."""
    asking = [gates for gates in plan.policies.values() if gates.permutations]
    levels = [gates.yearly_error / gates.looks_per_year if gates.skill.blocking else 1.0 for gates in asking]
    return Permuted(max((gates.permutations for gates in asking), default=0), max(levels, default=0.0))


@dataclass(frozen=True, slots=True, eq=False)
class Configuration:
    """What a worker reads of a replay."""

    strategy: Strategy
    settings: Settings
    permuted: Permuted


def read_configuration(folder: Path) -> Configuration:
    """What `write_configuration` wrote; modules in the project's folder can be imported afterwards.

    Raises:
        ConfigurationError: the file is missing or damaged.
    """
    path = folder / CONFIGURATION
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        strategy = Strategy.model_validate(content["strategy"])
        settings = Settings(
            paths=Paths(data=folder / "data", runs=folder / "runs", cache=folder / "cache", mlruns=folder / "mlruns"),
            validation=Validation.model_validate(content["validation"]),
            compute=Compute.model_validate(content["compute"]),
        )
        root, permuted = Path(content["root"]), Permuted(**content["permuted"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"the replay's file {path} cannot be read: {error}", next_step="start the replay again; it writes the file"
        ) from error
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    return Configuration(strategy, settings, permuted)


def _identity(strategy: Strategy, settings: Settings) -> dict[str, Any]:
    return {
        # Another policy goes on with the months that are trained already.
        "strategy": strategy.model_dump(mode="json", exclude=NO_PART_IN_A_MODEL),
        "validation": settings.validation.model_dump(mode="json"),
        "threads": settings.compute.threads,
    }


def _policies(strategy: Strategy, settings: Settings) -> dict[str, Gates]:
    own, named = strategy.gates, named_policies(settings.paths.strategies.parent / "policies")
    others = {name: under(own, named[name], named) for name in POLICIES if name in named}
    return {"deployed": own} | {name: gates for name, gates in others.items() if gates != own}


def _parse(text: str) -> np.datetime64:
    try:
        moment = datetime.strptime(text, "%Y-%m").replace(tzinfo=UTC)
    except ValueError as error:
        raise ConfigurationError(f"month {text!r} cannot be read", expected="a month like 2018-01") from error
    return np.datetime64(moment.strftime("%Y-%m"), "M")


def _require_judgeable(strategy: Strategy) -> None:
    if DAY_MS % strategy.bar.milliseconds:
        raise ConfigurationError(
            f"{strategy.name}: a replay cuts time into days and months, and bars of {strategy.interval} lie across their ends",
            expected="an interval that divides a day",
            actual=strategy.interval,
            setting="interval",
        )
    if strategy.rollback.drift_action == "roll_back":
        raise ConfigurationError(
            f"{strategy.name}: a replay does not judge drift, and so cannot roll back for it",
            expected="observe or alert",
            actual="roll_back",
            setting="rollback.drift_action",
            next_step="replay the strategy with another action for drift",
        )


def _require_blind(rules: Validation) -> None:
    for name in _LOOK_AHEAD:
        if getattr(rules, name) == "quarantine":
            raise ConfigurationError(
                f"the rule {name} sets bars aside for what came after them, and in a replay nobody would have traded on these",
                expected="warn, fatal or off",
                actual="quarantine",
                setting=f"validation.{name}",
                next_step="replay with another severity of this rule",
            )
    if rules.max_missing_share > _MOST_MISSING:
        raise ConfigurationError(
            "a replay cannot make up for so many missing bars by earlier ones",
            expected=f"at most {_MOST_MISSING}",
            actual=rules.max_missing_share,
            setting="validation.max_missing_share",
        )
