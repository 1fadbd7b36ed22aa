"""All figures of one run, their targets, and how they are printed."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from benchmarks.serving.figures import Round, Target, Verdict, median_of, ratio
from benchmarks.serving.soak import Soak

NEW_BAR = "tidegate, one new bar"
WINDOW = "tidegate, whole window of 300 bars"
SIGNATURE = "mlflow models serve, signature, dataframe_split"
PLAIN = "mlflow models serve, no signature, inputs as rows"
MLSERVER = "MLServer 1.7.1, XGBoost"
_FLAT_MB = 5.0


@dataclass(slots=True)
class Figures:
    """What was measured; what is missing was not.

    Attributes:
        one_client: rounds by contender.
        many_clients: answers per second by contender, a number a round.
        compared: contenders that give the model's probability.
        skipped: rivals that are not here, with the reason.
        rss_mb: memory after the rounds by server.
        start_s: from the process's start to ready, by kind of start.
        soaks: by name.
        image_mb: size of the image, where docker has it.
        machine: facts about the machine and the run.
    """

    one_client: dict[str, list[Round]] = field(default_factory=dict)
    many_clients: dict[str, list[float]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    rss_mb: dict[str, float] = field(default_factory=dict)
    start_s: dict[str, list[float]] = field(default_factory=dict)
    soaks: dict[str, Soak] = field(default_factory=dict)
    image_mb: float | None = None
    machine: dict[str, object] = field(default_factory=dict)

    def verdicts(self) -> list[Verdict]:
        """Every target with what was measured; a target whose figure is missing is not met."""
        return [
            Target("one new bar, p50", 0.6, "<=", "ms").judge(self._latency(NEW_BAR, 0)),
            Target("one new bar, p99", 2.0, "<=", "ms").judge(self._latency(NEW_BAR, 1)),
            Target("whole window of 300 bars, p50", 1.5, "<=", "ms").judge(self._latency(WINDOW, 0)),
            Target("whole window of 300 bars, p99", 3.0, "<=", "ms").judge(self._latency(WINDOW, 1)),
            Target("8 clients, one core", 1800, ">=", "predictions/s").judge(_median(self.many_clients.get(NEW_BAR))),
            Target("p50 against mlflow models serve with a signature", 20, ">=", "x").judge(self._ratio(SIGNATURE)),
            Target("p50 against mlflow models serve without one", 3, ">=", "x").judge(self._ratio(PLAIN)),
            Target("p50 against MLServer", 1, ">", "x").judge(self._ratio(MLSERVER)),
            Target("start to ready with a cached bundle", 2.0, "<=", "s").judge(_median(self.start_s.get("cached"))),
            Target("memory", 150, "<=", "MB").judge(self.rss_mb.get("tidegate")),
            *(verdict for name in ("twice expected_rps", "half of capacity") for verdict in self._soak(name)),
            *([] if self.image_mb is None else [Target("image", 300, "<=", "MB").judge(self.image_mb)]),
        ]

    def lines(self) -> list[str]:
        """For people."""
        found = [f"{name}: {fact}" for name, fact in self.machine.items()]
        found += ["", f"{'one client':<58} {'p50 ms':>8} {'p99 ms':>8} {'x ours':>7}  {'8 clients/s':>11} {'MB':>6}"]
        found += [self._line(name) for name in self.one_client]
        found += ["", *(f"left out: {name}: {reason}" for name, reason in self.skipped.items())]
        found += [
            f"start, {kind}: {_median(each):.2f} s (median of {len(each)})" for kind, each in self.start_s.items()
        ]
        found += [_soak_line(name, each) for name, each in self.soaks.items()]
        found += ["image: not measured, as docker is not at hand or has no image"] if self.image_mb is None else []
        return [*found, "", *(verdict.line() for verdict in self.verdicts())]

    def to_json(self) -> Mapping[str, object]:
        """For machines."""
        return {
            "machine": self.machine,
            "one_client": {name: [asdict(each) for each in rounds] for name, rounds in self.one_client.items()},
            "many_clients_rps": self.many_clients,
            "skipped": self.skipped,
            "rss_mb": self.rss_mb,
            "start_s": self.start_s,
            "soaks": {name: asdict(each) for name, each in self.soaks.items()},
            "image_mb": self.image_mb,
            "verdicts": [verdict.to_json() for verdict in self.verdicts()],
        }

    def _latency(self, name: str, which: int) -> float | None:
        rounds = self.one_client.get(name)
        return median_of(rounds, ("p50_ms", "p99_ms")[which]) if rounds else None

    def _ratio(self, name: str) -> float | None:
        theirs, ours = self.one_client.get(name), self.one_client.get(NEW_BAR)
        return ratio(theirs, ours) if theirs and ours else None

    def _soak(self, name: str) -> list[Verdict]:
        found = self.soaks.get(name)
        return [
            Target(f"soak at {name}, failures", 0, "<=", "").judge(None if found is None else found.failures),
            Target(f"soak at {name}, growth of memory", _FLAT_MB, "<=", "MB").judge(
                None if found is None else found.growth_mb
            ),
        ]

    def _line(self, name: str) -> str:
        rounds, crowd = self.one_client[name], _median(self.many_clients.get(name))
        times = self._ratio(name)
        memory = self.rss_mb.get(name.split(",", maxsplit=1)[0] if name.startswith("tidegate") else name)
        return (
            f"{name:<58} {median_of(rounds, 'p50_ms'):>8.3f} {median_of(rounds, 'p99_ms'):>8.3f} "
            f"{'' if times is None else f'{times:.2f}':>7}  {'' if crowd is None else f'{crowd:,.0f}':>11} "
            f"{'' if memory is None else f'{memory:.0f}':>6}"
        )


def _median(values: Sequence[float] | None) -> float | None:
    return statistics.median(values) if values else None


def _soak_line(name: str, found: Soak) -> str:
    memory = f"{found.rss_mb[0]:.1f} to {found.rss_mb[-1]:.1f} MB, {found.growth_mb:+.2f} MB in the last third"
    return (
        f"soak at {name}: {found.answered_rps:.0f} of {found.rate_rps:.0f} a second answered, {found.failures} failures, "
        f"p50 {found.p50_ms:.2f} ms, p99 {found.p99_ms:.2f} ms, memory {memory}"
    )
