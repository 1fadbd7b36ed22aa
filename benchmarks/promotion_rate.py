"""How often the gates promote a simulated market with the edge, and one without: `python -m benchmarks.promotion_rate`.

Each seed is a market of its own, judged like the demo's strategy as a first model, without registry. The gates are the defaults.
"""

import argparse
import json
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tidegate.gates.result import Verdict
from tidegate.pipeline.data import gather, prepare
from tidegate.pipeline.job import make_job
from tidegate.pipeline.judge import judge
from tidegate.pipeline.retrain import run_folds
from tidegate.settings.loading import load_settings
from tidegate.strategy.strategy import find_strategy

AS_OF = "2026-11-01T00:00:00Z"


def judge_seed(seed: int, edge: float) -> dict[str, object]:
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
        judged = judge(job, gathered, prepared, run_folds(job, prepared), None)
    failed = [result.name for result in judged.decision.results if result.verdict is not Verdict.PASS]
    metrics = {name: judged.metrics[name] for name in ("win_rate", "sharpe", "max_drawdown", "trades")}
    return {"seed": seed, "edge": edge, "promote": judged.decision.promote, "refused_by": failed, **metrics}


def main() -> None:
    """Run all seeds and print one line each, then both rates."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--processes", type=int, default=2)
    chosen = parser.parse_args()
    cases = [(seed, edge) for seed in range(1, chosen.seeds + 1) for edge in (1.0, 0.0)]
    with ProcessPoolExecutor(chosen.processes) as pool:
        results = []
        for found in pool.map(judge_seed, *zip(*cases, strict=True)):
            results.append(found)
            print(json.dumps(found), flush=True)
    for edge in (1.0, 0.0):
        mine = [found for found in results if found["edge"] == edge]
        print(f"edge {edge:g}: {sum(bool(found['promote']) for found in mine)} of {len(mine)} promoted")


if __name__ == "__main__":
    main()
