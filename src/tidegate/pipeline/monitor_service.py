"""What the checklist asks of the service, from what the watch and the processes' own logs wrote down.

Minutes and log lines carry the clock's time. A day is measured only where the watch saw nearly all of it, so a run about a time when nothing was
served, such as of a simulated market, says `not_measured`.
"""

import json
import logging
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

from tidegate.bars.interval import DAY_MS
from tidegate.monitoring.page.record import ChecklistRow
from tidegate.report import formats
from tidegate.rollback.finding import Minute
from tidegate.settings.settings import Settings

log = logging.getLogger(__name__)

MINUTES_FILE: Final = Path("watch") / "minutes.jsonl"
_MINUTE_MS: Final = 60_000
_LEAST_SEEN: Final = 0.95
_LONGEST_SPAN_MS: Final = 2 * _MINUTE_MS
"""A span ends with the first look after a minute. A longer one means that nobody looked meanwhile, so the rest of it was not seen."""
UPTIME, LATENCY_MS, ERRORS = 0.999, 10.0, 0.01
_BAD_LEVELS: Final = frozenset({"critical", "error"})
_NUMBERED: Final = re.compile(r"(.+)-(\d{6,})")
_FIELDS: Final = frozenset(field.name for field in fields(Minute))


def service_rows(settings: Settings, strategy: str, as_of: int) -> tuple[ChecklistRow, ...]:
    """The daily rows about the service, over the day that ended at a time.

    Args:
        settings: name the watch's file and the logs.
        strategy: whose predictions.
        as_of: UTC ms.
    """
    start = as_of - DAY_MS
    path = settings.paths.runs / MINUTES_FILE
    near = [(one, mean) for one, mean in read_minutes(path, strategy) if start < one.ends_at and one.starts_at < as_of]
    minutes = [(one, mean) for one, mean in near if start <= one.starts_at]
    spans = [one for one, _ in near]
    seen = _covered(spans, start, as_of)
    missing = "" if seen >= _LEAST_SEEN else f"the watch saw {formats.percent(seen, 1)} of this day ({path})"
    return (
        _uptime(seen, _covered([one for one in spans if one.reachable], start, as_of), path),
        _latency(minutes, missing),
        _errors(minutes, missing),
        _logs(settings, strategy, start, as_of),
    )


def read_minutes(path: Path, strategy: str) -> Iterator[tuple[Minute, float | None]]:
    """Minutes of one strategy with their mean latency; lines that are no minutes are passed over."""
    if not path.is_file():
        return
    with path.open("rb") as file:
        for line in file:
            try:
                content: dict[str, Any] = json.loads(line)
                if content.get("strategy") == strategy:
                    mean = content.get("latency_mean_ms")
                    yield Minute(**{name: content[name] for name in _FIELDS if name in content}), mean
            except (ValueError, KeyError, TypeError, AttributeError):
                log.warning("a line of %s is no minute", path)


def _covered(spans: list[Minute], start: int, end: int) -> float:
    """Share of a time that spans cover together, each up to its longest credible length."""
    total, reached = 0, start
    for first, last in sorted((one.starts_at, min(one.ends_at, one.starts_at + _LONGEST_SPAN_MS)) for one in spans):
        total += max(0, min(last, end) - max(first, reached))
        reached = max(reached, last)
    return total / (end - start)


def _uptime(seen: float, up: float, path: Path) -> ChecklistRow:
    """Holds where it does even if nothing answered while nobody looked; fails where it does even if all was well then."""
    unseen = 1.0 - seen
    holds, fails = up > UPTIME, up + unseen <= UPTIME
    missing = (
        ""
        if (holds or fails) and seen > 0
        else f"the watch saw {formats.percent(seen, 2)} of this day ({path}): what it did not see may hold more than the "
        f"{formats.percent(1 - UPTIME, 1)} that may be missing"
    )
    return _row(
        "uptime", up / seen if seen else float("nan"), UPTIME, holds, formats.percent(up / seen if seen else float("nan"), 3),
        f"> {formats.percent(UPTIME, 1)}", missing,
        f"the watch saw {formats.percent(seen, 2)} of the day; it counts as up while any instance answered",
    )  # fmt: skip


def _latency(minutes: list[tuple[Minute, float | None]], missing: str) -> ChecklistRow:
    timed = [(mean, one.requests) for one, mean in minutes if mean is not None and one.requests > 0]
    requests = sum(n for _, n in timed)
    mean_ms = sum(mean * n for mean, n in timed) / requests if requests else float("nan")
    return _row(
        "average latency", mean_ms, LATENCY_MS, mean_ms < LATENCY_MS, formats.quantity(mean_ms, "ms"),
        f"< {formats.quantity(LATENCY_MS, 'ms')}", missing or _no_requests(requests), f"{requests} predictions",
    )  # fmt: skip


def _errors(minutes: list[tuple[Minute, float | None]], missing: str) -> ChecklistRow:
    requests, errors = sum(one.requests for one, _ in minutes), sum(one.errors for one, _ in minutes)
    share = errors / requests if requests else float("nan")
    return _row(
        "error rate", share, ERRORS, share < ERRORS, formats.percent(share, 3), f"< {formats.percent(ERRORS, 0)}",
        missing or _no_requests(requests), f"{errors} of {requests} predictions failed, or were answered by the model before",
    )  # fmt: skip


def _no_requests(requests: int) -> str:
    return "" if requests else "no prediction was asked for on this day"


def _row(
    name: str, value: float, bound: float, holds: bool, observed: str, threshold: str, missing: str, basis: str
) -> ChecklistRow:
    if missing or not (formats.known(value) and formats.known(bound)):
        return ChecklistRow(name, "daily", "not_measured", "", threshold, missing or "there is no figure")
    return ChecklistRow(name, "daily", "pass" if holds else "fail", observed, threshold, basis)


def _logs(settings: Settings, strategy: str, start: int, end: int) -> ChecklistRow:
    name, threshold = "no critical errors in logs", "0"
    pattern = settings.logs.file
    if pattern is None:
        return ChecklistRow(
            name, "daily", "not_measured", "", threshold, "logs.file is not set: there is no file to read"
        )
    files = sorted(pattern.parent.glob(f"{pattern.stem.replace('{process}', '*')}-*{pattern.suffix}"))
    lines = errors = 0
    begins: dict[Path, int] = {}
    try:
        for path in files:
            for line in _log_lines(path):
                begins.setdefault(path, line["at"])
                if start <= line["at"] < end and line.get("strategy") in {None, strategy}:
                    lines += 1
                    errors += line.get("level") in _BAD_LEVELS
    except (OSError, ValueError) as error:
        return ChecklistRow(name, "daily", "not_measured", "", threshold, f"a log file cannot be read: {error}")
    if not lines:
        return ChecklistRow(name, "daily", "not_measured", "", threshold, f"no line of this day in {pattern}")
    gone = _deleted(files, begins, start)
    if gone and not errors:
        reason = f"older lines of this day were deleted with the files before {gone}; raise logs.keep or logs.max_mb"
        return ChecklistRow(name, "daily", "not_measured", "", threshold, reason)
    basis = f"{lines} lines of this day in {len(files)} files"
    return ChecklistRow(name, "daily", "fail" if errors else "pass", str(errors), threshold, basis)


def _deleted(files: list[Path], begins: dict[Path, int], start: int) -> str:
    """Names of each process's oldest file where files before it are gone and it does not reach back to a time."""
    oldest: dict[str, tuple[int, Path]] = {}
    for path in files:
        found = _NUMBERED.fullmatch(path.stem)
        if found is not None:
            number = int(found[2])
            oldest[found[1]] = min(oldest.get(found[1], (number, path)), (number, path))
    late = [path.name for number, path in oldest.values() if number > 1 and begins.get(path, start + 1) > start]
    return ", ".join(sorted(late))


def _log_lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        for text in file:
            try:
                line = json.loads(text)
            except ValueError:
                continue  # the last line of a process that writes right now
            if isinstance(line, dict) and isinstance(line.get("at"), int):
                yield line
