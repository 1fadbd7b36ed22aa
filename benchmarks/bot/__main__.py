"""The clients of the bot's side: `python -m benchmarks.bot [--json FILE] [--quick] [--only calls|trading]`.

(a) what a call costs beside the bare HTTP call, in turns in one run; (b) how long after its deadline a decision comes where nobody answers; (c) what is
decided under each class of faults; (d) 24 hours of one-minute bars with random faults. Real service, real MLflow, both clients; the Rust programs are
built with optimisation. Ends with 1 where a decision is missing or a trade was wrong.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.bot.calls import Calls, release
from benchmarks.bot.trading import Trading, by_class, one_day
from tests.e2e.bot.trained import trained

SEED = 20_260_601
# One-minute bars of 66 days; the last one is the test window, 24 hours.
MINUTES: dict[str, Any] = {
    "interval": "1m",
    "source": {"starts_at": "2025-04-01T00:00:00Z", "days": 160},
    "windows": {"train_days": 60, "test_days": 1, "max_folds": 1},
    # The version is promoted by hand: what is measured is the bot's side.
    "gates": {"champion_min_days": 1},
}


def main() -> int:
    """Measure, print and write; gives the exit code."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument("--quick", action="store_true", help="fewer calls and bars a class; the day is whole")
    parser.add_argument("--only", choices=("calls", "trading"), help="one half")
    parser.add_argument("--seed", type=int, default=SEED, help="of the day's faults")
    chosen = parser.parse_args()
    programs = release("overhead", "paper_bot")
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name, trained(Path(name) / "market", {}, **MINUTES) as market:
        folder = Path(name)
        market.promote(1)
        if chosen.only != "trading":
            calls = Calls(market, folder / "calls", programs["overhead"], 200 if chosen.quick else 2000)
            calls.folder.mkdir()
            found |= {"overhead": calls.overhead(), "lateness_ms": calls.lateness()}
        if chosen.only != "calls":
            program, pause_s = programs["paper_bot"], 0.05
            found["classes"] = by_class(
                Trading(market, folder / "classes", program, pause_s), 10 if chosen.quick else 30
            )
            found["day"] = one_day(Trading(market, folder / "day", program, pause_s), chosen.seed)
    show(found)
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(found, indent=1) + "\n")
    return 0 if passed(found) else 1


def passed(found: dict[str, Any]) -> bool:
    """Whether each bar had its decision and no trade was wrong."""
    runs = [found[name] for name in ("day",) if name in found]
    runs += [found["classes"]["whole"]] if "classes" in found else []
    each = [run["made"] == run["due"] and run["wrong_decisions"] == run["wrong_trades"] == 0 for run in runs]
    recovered = [one["recovered_at_bar"] is not None for one in found.get("classes", {}).get("classes", {}).values()]
    return all([*each, *recovered])


def show(found: dict[str, Any]) -> None:
    """Print the tables."""
    for language, each in found.get("overhead", {}).items():
        print(f"{language}: one call, microseconds; client over bare at the median {each['ratio_p50']}")
        for name in ("bare_us", "client_us", "overhead_us"):
            print(f"  {name.removesuffix('_us'):10} p50 {each[name]['p50']:10.1f}  p99 {each[name]['p99']:10.1f}")
    for language, late in found.get("lateness_ms", {}).items():
        print(
            f"{language}: after the deadline, ms: p50 {late['p50']:.1f}  p99 {late['p99']:.1f}  max {late['max']:.1f}"
        )
    if "classes" in found:
        print(f"{'fault':26} {'made/due':>9} {'longest ms':>10} {'back at bar':>11}  decisions")
        for name, each in found["classes"]["classes"].items():
            made, said = f"{each['made']}/{each['due']}", ", ".join(f"{k} {v}" for k, v in each["reasons"].items())
            print(
                f"{name:26} {made:>9} {each['longest_decision_ms']:10.1f} {each['recovered_at_bar'] or 'never':>11}  {said}"
            )
    if "day" in found:
        print("24 hours of one-minute bars:")
        for name, value in found["day"].items():
            print(f"  {name:26} {value}")


if __name__ == "__main__":
    sys.exit(main())
