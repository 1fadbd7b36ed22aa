"""`python -m tests.chaos`: the whole campaign, with a table of what was injected and what held."""
# ruff: noqa: T201  a program of the terminal

import argparse
import json
import sys
from pathlib import Path

from tests.chaos.campaign import KINDS, Record, plan, run
from tests.chaos.invariants import leftovers
from tests.chaos.stage import missing, opened


def main() -> int:
    """Run a campaign; 0 where everything held and every rerun completed."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--faults", type=int, default=400, help="how many at most")
    parser.add_argument("--minutes", type=float, default=30.0, help="no new fault after that")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=KINDS, help="this kind alone")
    parser.add_argument("--report", type=Path, help="file for all that was seen, as JSON")
    given = parser.parse_args()
    if lacking := missing():
        print(f"this machine has no {', '.join(lacking)}")
        return 2
    faults = [one for one in plan(given.faults, given.seed) if given.only in {None, one.kind}]
    with opened() as stage:
        records = run(stage, faults, given.minutes * 60, _tell)
        left = leftovers(stage)
    _summarise(records)
    print(f"left by kills: {left}")
    if given.report is not None:
        content = {"seed": given.seed, "records": [one.plain() for one in records], "leftovers": left}
        given.report.parent.mkdir(parents=True, exist_ok=True)
        given.report.write_text(json.dumps(content, indent=1), encoding="utf-8")
    return 0 if records and all(one.is_well for one in records) else 1


def _tell(one: Record) -> None:
    word = ("halted" if one.halted else "well") if one.is_well else "NOT WELL"
    took = "" if one.took else " (not in time)"
    print(f"{one.kind:<20} {one.operation:<9} {one.how}{took}; ended {one.code}, again {one.rerun}: {word}", flush=True)
    if not one.is_well:
        print("".join(f"    {line}\n" for line in (*one.broken, *one.said.splitlines()[-12:])), flush=True)


def _summarise(records: list[Record]) -> None:
    print(f"\n{'fault':<20} {'injected':>8} {'too late':>8} {'held':>5} {'reruns':>6}")
    for kind in KINDS:
        of = [one for one in records if one.kind == kind]
        took = [one for one in of if one.took]
        held, again = sum(not one.broken for one in took), sum(one.rerun[-1] == 0 for one in took)
        print(f"{kind:<20} {len(took):>8} {len(of) - len(took):>8} {held:>5} {again:>6}")


if __name__ == "__main__":
    sys.exit(main())
