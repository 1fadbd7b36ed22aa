"""Percentiles, ratios and verdicts: the arithmetic of the comparison, without any clock or network."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal


class NoSamples(ValueError):
    """A figure was asked for where nothing was measured."""


def percentile(samples: Sequence[float], share: float) -> float:
    """The smallest sample that at least `share` of all samples do not exceed (nearest rank): always a value that was seen.

    Args:
        samples: in any order; at least one, all finite.
        share: in (0, 1].
    Raises:
        NoSamples: there are none, or one is not finite.
        ValueError: `share` is not in (0, 1].
    """
    if not samples or not all(math.isfinite(sample) for sample in samples):
        raise NoSamples("no percentile without finite samples")
    if not 0.0 < share <= 1.0:
        raise ValueError(f"share must lie in (0, 1], was {share}")
    ordered = sorted(samples)
    return ordered[math.ceil(share * len(ordered)) - 1]


@dataclass(frozen=True, slots=True)
class Round:
    """One round of one contender: milliseconds from the request's first byte out to the answer's last byte in."""

    p50_ms: float
    p99_ms: float
    answers: int
    failures: int

    @classmethod
    def of(cls, latencies_ms: Sequence[float], failures: int) -> "Round":
        """Summarise a round's answers; those that failed count, but have no latency here."""
        return cls(percentile(latencies_ms, 0.5), percentile(latencies_ms, 0.99), len(latencies_ms), failures)


def median_of(rounds: Sequence[Round], name: Literal["p50_ms", "p99_ms"]) -> float:
    """Median over the rounds, which one disturbed round does not move.

    Raises:
        NoSamples: there are no rounds.
    """
    if not rounds:
        raise NoSamples("no median without rounds")
    return statistics.median(each.p50_ms if name == "p50_ms" else each.p99_ms for each in rounds)


def ratio(theirs: Sequence[Round], ours: Sequence[Round]) -> float:
    """How many times ours is faster at p50: the median over rounds of their p50 to ours of the same round.

    Rounds are paired, so a slow minute of the machine falls on both sides.

    Raises:
        NoSamples: there are no rounds.
        ValueError: the two have not the same number of rounds.
    """
    if not theirs or not ours:
        raise NoSamples("no ratio without rounds")
    return statistics.median(their.p50_ms / our.p50_ms for their, our in zip(theirs, ours, strict=True))


def growth(samples: Sequence[float]) -> float:
    """How much the last third's median lies above the second third's; the first third is warm-up.

    Raises:
        NoSamples: fewer than six samples, or one is not finite.
    """
    if len(samples) < 6 or not all(math.isfinite(sample) for sample in samples):
        raise NoSamples("no growth without at least six finite samples")
    third = len(samples) // 3
    return statistics.median(samples[-third:]) - statistics.median(samples[third:-third])


@dataclass(frozen=True, slots=True)
class Target:
    """A promise: what was measured must be at most, or at least, a limit."""

    name: str
    limit: float
    side: Literal["<=", ">=", ">"]
    unit: str

    def judge(self, observed: float | None) -> "Verdict":
        """Compare; what was not measured, or is not finite, is not met."""
        if observed is None or not math.isfinite(observed):
            return Verdict(self, observed, met=False)
        met = {"<=": observed <= self.limit, ">=": observed >= self.limit, ">": observed > self.limit}[self.side]
        return Verdict(self, observed, met=met)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A target with what was measured."""

    target: Target
    observed: float | None
    met: bool

    def line(self) -> str:
        """One line for people."""
        target = self.target
        seen = "not measured" if self.observed is None else f"{self.observed:.4g} {target.unit}".rstrip()
        wanted = f"{target.side} {target.limit:g} {target.unit}".rstrip()
        return f"{'met ' if self.met else 'MISSED'}  {target.name:<58} {seen:>16}   target {wanted}"

    def to_json(self) -> Mapping[str, object]:
        """The same for machines."""
        return {**asdict(self.target), "observed": self.observed, "met": self.met}
