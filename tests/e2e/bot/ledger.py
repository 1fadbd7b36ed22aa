"""Whether what a bot decided and traded was right: by what the service logged, and by what the backtest had."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tests.e2e.bot.paper_bot import Fed

from tidegate.pipeline.fold import Tested
from tidegate.serving.log.reader import read
from tidegate.serving.log.record import Row

_SAME = ("symbol", "bar_closed_at", "version", "bundle_digest", "probability")


def wrong_decisions(fed: Sequence[Fed], log_folder: Path, tested: Mapping[int, Tested]) -> list[str]:
    """Every decision that had another ground than its model, or another target than its source gives.

    Args:
        fed: the bot's decisions.
        log_folder: the service's prediction log.
        tested: by version, the backtest of these bars.
    """
    logged = {row.request_id: row for row in read(log_folder) if row.role == "production"}
    return [
        f"{each.decision}"
        for each in fed
        if not (
            _is_models(each.decision, logged, tested)
            if each.decision["source"] == "model"
            else each.decision["target"] == 0 and each.decision["reason"] is not None
        )
    ]


def _is_models(decision: Mapping[str, Any], logged: Mapping[str, Row], tested: Mapping[int, Tested]) -> bool:
    row, backtest = logged.get(decision["request_id"]), tested.get(decision["version"])
    if row is None or backtest is None:
        return False
    (at,) = np.flatnonzero(backtest.bars.closed_at == decision["bar_closed_at"])
    return (
        all(decision[name] == getattr(row, name) for name in _SAME)
        and decision["target"] == row.target_position
        and decision["probability"] == backtest.probability[at]
    )


def wrong_trades(trades: Sequence[Mapping[str, Any]], fed: Sequence[Fed], bar_ms: int) -> list[str]:
    """Every round trip that was not the model's from its first to its last bar."""
    decisions = {each.decision["bar_closed_at"]: each.decision for each in fed}
    wrong = []
    for trade in trades:
        asked = [decisions[at] for at in range(int(trade["signal_at"]), int(trade["exit_at"]), bar_ms)]
        if any((each["source"], each["target"]) != ("model", trade["side"]) for each in asked) or not asked:
            wrong.append(f"{trade}")
    return wrong
