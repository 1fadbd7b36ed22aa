"""How often the gates promote a simulated market with the edge, and one without: `python -m benchmarks.promotion_rate`.

Each seed is a market of its own, judged like the demo's strategy as a first model, without registry, and with a year's error budget that
nobody has touched. Every policy judges the same run; `strict` without permuted labels, unless `--permutations` asks for them.
"""

import argparse
import json
import tempfile
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from pathlib import Path
from typing import Any

from tidegate.gates.result import Decision
from tidegate.pipeline.data import gather, prepare
from tidegate.pipeline.job import make_job
from tidegate.pipeline.judge import decide_run, measure_run
from tidegate.pipeline.retrain import run_folds
from tidegate.registry.database import Database
from tidegate.registry.looks import LookLedger
from tidegate.settings.loading import load_settings
from tidegate.statistics.proportions import wilson_interval
from tidegate.strategy.strategy import find_strategy

AS_OF = "2026-11-01T00:00:00Z"
POLICIES = ("checklist", "balanced", "strict")


def judge_seed(seed: int, edge: float, permutations: int) -> dict[str, Any]:
    """Judge one market."""
    root = Path(__file__).resolve().parents[1]
    settings = load_settings(root)
    with tempfile.TemporaryDirectory() as folder:
        paths = settings.paths.model_copy(update={"data": Path(folder) / "data", "runs": Path(folder) / "runs"})
        compute = settings.compute.model_copy(update={"parallel_folds": 1})
        settings = settings.model_copy(update={"paths": paths, "compute": compute})
        strategy = find_strategy("simulated-demo", settings.paths.strategies)
        source = strategy.source.model_copy(update={"seed": seed, "edge": edge})
        job = make_job(strategy.model_copy(update={"source": source}), settings, root, as_of=AS_OF)
        gathered = gather(job)
        prepared = prepare(job, gathered)
        measured = measure_run(job, gathered, prepared, run_folds(job, prepared), permutations=permutations)
        looks = LookLedger(Database(f"sqlite:///{folder}/ledger.db"))
        decision = decide_run(job, measured, None, looks, {}).decision
    shown = ("win_rate", "sharpe", "sharpe_standard_error", "max_drawdown", "trades")
    metrics = {name: measured.metrics[name] for name in shown}
    p_value = next(result.observed for result in decision.results if result.name == "skill")
    return {
        "seed": seed,
        "edge": edge,
        "folds": len(prepared.folds),
        "p_value": p_value,
        **_refused(decision),
        **metrics,
    }


def _refused(decision: Decision) -> dict[str, list[str]]:
    """By policy, the gates that refuse and were measured."""
    return {
        name: [gate for gate in verdict.refused_by if gate not in verdict.unmeasured]
        for name, verdict in decision.verdicts.items()
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Run all seeds and print one line each, then the rates by policy with what refused."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--permutations", type=int, default=0)
    chosen = parser.parse_args(arguments)
    cases = [(seed, edge) for seed in range(1, chosen.seeds + 1) for edge in (1.0, 0.0)]
    results = []
    with ProcessPoolExecutor(chosen.processes) as pool:
        for found in pool.map(judge_seed, *zip(*cases, strict=True), repeat(chosen.permutations)):
            results.append(found)
            print(json.dumps(found), flush=True)
    for edge in (1.0, 0.0):
        mine = [found for found in results if found["edge"] == edge]
        for policy in POLICIES:
            promoted = sum(not found[policy] for found in mine)
            low, high = wilson_interval(promoted, len(mine))
            refused = Counter(gate for found in mine for gate in found[policy]).most_common()
            print(
                f"edge {edge:g}, {policy}: {promoted} of {len(mine)} promoted ({low:.0%} to {high:.0%}); refused by {refused}"
            )


if __name__ == "__main__":
    main()
