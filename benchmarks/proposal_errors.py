"""How often the monthly proposal errs, and what it finds: `python -m benchmarks.proposal_errors [--worlds N] [--years N]`.

A world is hourly bars, twelve folds of a month and seven margins. A higher margin trades a part of what a lower one does, so the margins'
returns go together. Without skill every trade is a coin's; one margin more, outside the configuration, may earn something on top.
"""

import argparse
from collections.abc import Mapping

import numpy as np

from tidegate.backtest.ratios import sharpe, wilson_interval
from tidegate.bars.bars import Floats, parse_time
from tidegate.bars.interval import DAY_MS
from tidegate.dataset.windows import FoldWindows, Window
from tidegate.pipeline.proposal import Proposal, propose
from tidegate.pipeline.tried import Tried
from tidegate.strategy.strategy import SEARCHABLE, Model, Strategy

MARGINS = (0.02, 0.04, 0.06, 0.08, 0.10, 0.13, 0.16)
BETTER = 0.12
FOLDS, TRAIN_DAYS, TEST_DAYS, BLOCK_DAYS = 12, 90, 30, 60
HOUR, YEAR = DAY_MS // 24, 8760.0
START = parse_time("2024-01-01T00:00:00Z")
STRATEGY = Strategy.model_validate(
    {
        "version": 1,
        "name": "noise-1h",
        "kind": "real",
        "symbols": ["BTC/USDT"],
        "interval": "1h",
        "source": {"type": "file", "path": "none.parquet"},
        "policy": {"margins": MARGINS},
    }
)
PARAMETERS = {name: getattr(Model(), name) for name in SEARCHABLE}


def market(seed: int, folds: int, extra: float | None = None, drift: float = 0.0) -> dict[float, Floats]:
    """By margin, hourly net returns over all folds; `drift` an hour in the market goes to the margin `extra`."""
    rng = np.random.default_rng(seed)
    hours = (TRAIN_DAYS + TEST_DAYS * folds) * 24
    moves = rng.standard_t(4, hours) * 0.004
    side, strength = (np.repeat(drawn, 6)[:hours] for drawn in (rng.choice([-1, 1], hours), rng.random(hours)))
    margins = MARGINS if extra is None else (*MARGINS, extra)
    found = {}
    for margin in margins:
        held = strength > margin * 5
        found[margin] = held * side * moves + (drift * held if margin == extra else 0.0)
    return found


def trials(returns: Mapping[float, Floats], first: int) -> list[Tried]:
    """What a retraining logs whose oldest fold is number `first`."""
    found = []
    for fold in range(first, first + FOLDS):
        end = START + (TRAIN_DAYS + TEST_DAYS * fold) * DAY_MS
        train = Window(start_at=end - TRAIN_DAYS * DAY_MS, end_at=end)
        windows = FoldWindows(train=train, test=Window(start_at=end, end_at=end + TEST_DAYS * DAY_MS))
        closed_at = np.arange(end - BLOCK_DAYS * DAY_MS, end, HOUR, dtype=np.int64) + HOUR
        rows = slice((TRAIN_DAYS - BLOCK_DAYS + TEST_DAYS * fold) * 24, (TRAIN_DAYS + TEST_DAYS * fold) * 24)
        for margin, series in returns.items():
            net = series[rows]
            parameters = PARAMETERS | {"margin": margin}
            found.append(Tried(f"noise-1h/{first}", windows, parameters, sharpe(net, YEAR), closed_at, net))
    return found


def months(seed: int) -> int:
    """In how many of a year's months something is proposed without a reason; every month asks all trials so far."""
    returns, logged, proposed = market(seed, 2 * FOLDS), list[Tried](), 0
    for month in range(12):
        logged += trials(returns, month)
        proposed += propose(STRATEGY, logged, f"2025-{month + 1:02d}").chosen is not None
    return proposed


def found_better(proposal: Proposal) -> bool:
    """Whether the margin that is better was proposed."""
    return proposal.chosen is not None and proposal.chosen.patch == {"policy": {"margins": [BETTER]}}


def told(what: str, hits: int, of: int) -> None:
    """One line: a share with its interval."""
    low, high = wilson_interval(hits, of)
    print(f"{what}: {hits} of {of}, 95 % interval {low:.1%} to {high:.1%}", flush=True)


def main() -> None:
    """Print the figures of the page on proposals."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.proposal_errors", description=__doc__)
    parser.add_argument("--worlds", type=int, default=200, help="worlds of one month")
    parser.add_argument("--years", type=int, default=50, help="worlds that are asked in each month of a year")
    given = parser.parse_args()
    single = [propose(STRATEGY, trials(market(seed, FOLDS), 0), "2025-01") for seed in range(given.worlds)]
    told("one month without skill: proposed", sum(each.chosen is not None for each in single), given.worlds)
    for drift in (0.0002, 0.0004):
        made = [
            propose(STRATEGY, trials(market(seed, FOLDS, BETTER, drift), 0), "2025-01")
            for seed in range(given.worlds // 4)
        ]
        gain = np.mean([each.difference for one in made for each in one.alternatives if f"{BETTER:g}" in each.title])
        told(f"one margin better by a Sharpe ratio of {gain:.1f}: proposed", sum(map(found_better, made)), len(made))
    years = [months(1_000 + seed) for seed in range(given.years)]
    told("a year without skill: proposed in at least one month", sum(count > 0 for count in years), given.years)


if __name__ == "__main__":
    main()
