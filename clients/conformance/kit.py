"""Holds a client to the behaviour contract, case by case: `python clients/conformance/kit.py --driver "COMMAND"`.

It needs Python 3.11 and nothing else. The driver is a program that puts the client behind JSON lines (README.md).
Exit codes: 0 all cases passed, 1 a case failed, 2 the kit was called wrongly or a case cannot be read.
"""

import argparse
import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import vectors
from driving import Driver
from market import Json
from playing import STEPS, Play

CASES = Path(__file__).parent / "cases"
AT_ONCE = 4
CASE_KEYS = frozenset(("name", "subject", "why", "config", "key", "sends", "model", "files", "opens", "steps"))
STEP_KEYS = frozenset(("title", "replies", "expect", "asked", "unseen", "within_ms", "since", "body"))


class CaseRefused(Exception):
    """A case that the kit cannot play as it is written."""


@dataclass(frozen=True)
class Outcome:
    """How a case ended."""

    name: str
    subject: str
    why: str
    passed: bool
    seconds: float
    failures: list[str]


def read_cases(folder: Path = CASES) -> list[Json]:
    """All cases, by their files' names; those of the position policy at the end.

    Raises:
        CaseRefused: a file is no JSON, a name comes twice, or a key is unknown.
    """
    found: list[Json] = []
    for path in sorted(folder.glob("*.json")):
        try:
            content = json.loads(path.read_text())
        except ValueError as error:
            raise CaseRefused(f"{path}: {error}") from error
        found += [{"subject": path.stem, **case} for case in content["cases"]]
    found += vectors.cases()
    names = [case["name"] for case in found]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise CaseRefused(f"names that come twice: {sorted(twice)}")
    for case in found:
        _check(case)
    return found


def _check(case: Json) -> None:
    """A key with a slip of the pen would change nothing, and a case that expects nothing would pass: both are refused."""
    if case.keys() - CASE_KEYS:
        raise CaseRefused(f"{case['name']}: unknown keys {sorted(case.keys() - CASE_KEYS)}")
    for number, step in enumerate(case["steps"], 1):
        kinds = step.keys() & set(STEPS)
        unknown = step.keys() - kinds - STEP_KEYS
        if len(kinds) != 1 or unknown or ("decide" in kinds) != ("expect" in step):
            raise CaseRefused(f"{case['name']}, step {number}: one of {STEPS}, expect with decide; was {sorted(step)}")
        if "expect" in step and not {"source", "reason"} & step["expect"].keys():
            raise CaseRefused(f"{case['name']}, step {number}: a source or a reason is expected")


def chosen(cases: list[Json], wanted: list[str]) -> list[Json]:
    """The cases of those names or subjects; all where none is named."""
    known = {case[key] for case in cases for key in ("name", "subject")}
    if unknown := set(wanted) - known:
        raise CaseRefused(f"there is no case and no subject {sorted(unknown)}")
    return [case for case in cases if not wanted or {case["name"], case["subject"]} & set(wanted)]


async def play_all(cases: list[Json], command: str, at_once: int) -> list[Outcome]:
    """Plays cases side by side; each worker keeps one driver, and takes a new one where that fails."""
    waiting = list(reversed(cases))
    outcomes: list[Outcome] = []

    async def work() -> None:
        driver = Driver(command)
        try:
            while waiting:
                outcomes.append(await _played(waiting.pop(), driver))
        finally:
            await driver.end()

    async with asyncio.TaskGroup() as workers:
        for _ in range(min(at_once, len(cases))):
            workers.create_task(work())
    order = {case["name"]: number for number, case in enumerate(cases)}
    return sorted(outcomes, key=lambda outcome: order[outcome.name])


async def _played(case: Json, driver: Driver) -> Outcome:
    began = time.monotonic()
    failures = await Play(case, driver).failures()
    seconds = round(time.monotonic() - began, 3)
    return Outcome(case["name"], case["subject"], case["why"], not failures, seconds, failures)


def report(outcomes: list[Outcome], seconds: float) -> str:
    """What failed and why, and how many cases passed."""
    lines = []
    for outcome in outcomes:
        if not outcome.passed:
            lines += [f"FAILED {outcome.subject}/{outcome.name}: {outcome.why}"]
            lines += [f"    {failure}" for failure in outcome.failures]
    passed = sum(outcome.passed for outcome in outcomes)
    return "\n".join([*lines, f"{passed} of {len(outcomes)} cases passed in {seconds:.1f} s"])


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="kit.py", description="Holds a client to the behaviour contract.")
    parser.add_argument("--driver", metavar="COMMAND", help="starts the client's driver")
    parser.add_argument(
        "--case", action="append", default=[], metavar="NAME", help="only this case or subject; may be repeated"
    )
    parser.add_argument("--list", action="store_true", help="say which cases there are")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the outcomes there, too")
    parser.add_argument("--at-once", type=int, default=AT_ONCE, metavar="N", help=f"cases at a time ({AT_ONCE})")
    asked = parser.parse_args(arguments)
    try:
        cases = chosen(read_cases(), asked.case)
    except (CaseRefused, KeyError, OSError) as error:
        sys.stderr.write(f"kit.py: {error}\n")
        return 2
    if asked.list:
        sys.stdout.writelines(f"{case['subject']}/{case['name']}: {case['why']}\n" for case in cases)
        return 0
    if not asked.driver:
        parser.error("--driver is needed")
    began = time.monotonic()
    outcomes = asyncio.run(play_all(cases, asked.driver, max(1, asked.at_once)))
    seconds = time.monotonic() - began
    passed = all(outcome.passed for outcome in outcomes)
    if asked.json:
        content = {"passed": passed, "seconds": round(seconds, 3), "cases": [asdict(outcome) for outcome in outcomes]}
        asked.json.write_text(json.dumps(content, indent=1) + "\n")
    sys.stdout.write(report(outcomes, seconds) + "\n")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
