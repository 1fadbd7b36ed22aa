"""How long a calibration takes, and how much memory: `python -m benchmarks.calibration`.

The simulated demo's trades, four kinds of worlds, three policies, two threads; each case in a process of its own, so that its peak is its
own. The check by the full statistics is timed apart, since its cost does not grow with the worlds.
"""

import argparse
import json
import multiprocessing
import resource
import time
from pathlib import Path

from tidegate.calibration.calibrate import Options, calibrate
from tidegate.calibration.figures import Figures
from tidegate.strategy.policies import built_in
from tidegate.strategy.strategy import find_strategy

ROOT = Path(__file__).resolve().parents[1]
DEMO = Figures("benchmark", 5.63, 0.6055, 0.00408, 0.00444, 0.00476, 0.00303, cost=0.0012)


def case(worlds: int, checked: int, workers: int) -> dict[str, float]:
    """Seconds and peak memory of one calibration."""
    strategy = find_strategy("simulated-demo", ROOT / "configs" / "strategies")
    policies = built_in()
    chosen = {name: policies[name] for name in ("balanced", "checklist", "strict")}
    begun = time.perf_counter()
    calibrate(strategy, DEMO, chosen, Options(worlds=worlds, checked=checked, workers=workers))
    seconds = time.perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"worlds": worlds, "checked": checked, "workers": workers, "seconds": seconds, "peak_mb": peak}


def main() -> None:
    """Time the cases one after the other and print a line each."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--worlds", type=int, nargs="+", default=[1000, 10_000])
    parser.add_argument("--checked", type=int, default=200)
    parser.add_argument("--workers", type=int, default=2)
    chosen = parser.parse_args()
    cases = [(worlds, 0) for worlds in chosen.worlds] + [(chosen.worlds[0], chosen.checked)]
    context = multiprocessing.get_context("spawn")
    for worlds, checked in cases:
        with context.Pool(1) as pool:
            print(json.dumps(pool.apply(case, (worlds, checked, chosen.workers))), flush=True)


if __name__ == "__main__":
    main()
