"""The Python client and the real service with a real model: what it decides is what the policy says, bar by bar."""

from collections.abc import Iterator
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from tests.integration.serving.http.real import ROW, prepared
from tests.integration.serving.http.running import Running, serving
from tests.unit.client.records import settings
from tests.unit.model.small_model import SYMBOL, small_dataset

from tidegate.bars.bars import PRICES
from tidegate.client import Client, Config
from tidegate.policy.policy import PositionPolicy, PositionState, target_position

REAL = ("-m", "tests.integration.serving.http.real")
BARS = 40


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("service")
    with serving(folder / "run", *REAL, **prepared(folder)) as service:
        yield service


def test_every_bar_is_decided_by_the_model_and_only_new_bars_are_sent(running: Running) -> None:
    bars = small_dataset().tables[0].bars
    config = Config.of(
        settings(url=running.url, strategy="small", interval=str(bars.interval), deadline={"decide_ms": 10_000})
    )
    with Client(config) as client:
        served = client.model()
        assert served is not None
        assert served.production is not None
        policy, side = PositionPolicy.model_validate(msgspec.to_builtins(served.production.policy)), 0
        decided = []
        for row in range(ROW, ROW + BARS):
            position = {"side": side, "entry_price": float(bars.open[row]) if side else 0.0, "bars_held": abs(side)}
            decision = client.decide(SYMBOL, bars.take(slice(0, row + 1)), position)
            assert (decision.source, decision.reason) == ("model", None)
            assert decision.bar_closed_at == bars.closed_at[row]
            assert decision.probability is not None
            expected = target_position(
                decision.probability, float(bars.close[row]), PositionState.model_validate(position), policy
            )
            assert decision.target == expected
            side = int(decision.target)
            decided.append(decision.probability)
        assert len(np.unique(decided)) > 3, "the model says the same whatever the bars are"
        text = client.metrics_text()
    assert f'tidegate_client_decisions_total{{strategy="small",source="model",reason="none"}} {BARS}' in text
    assert "tidegate_client_window_resends_total 0" in text


def test_two_bots_without_a_key_decide_each_by_its_own_bars(running: Running) -> None:
    ours = small_dataset().tables[0].bars
    # Another broker's bars: the same market, and other prices.
    theirs = replace(ours, **{name: getattr(ours, name) * 1.01 for name in PRICES})
    given = settings(url=running.url, strategy="small", interval=str(ours.interval), deadline={"decide_ms": 10_000})
    with Client(Config.of(given)) as alone:
        expected = [alone.decide(SYMBOL, ours.take(slice(0, row))).probability for row in range(ROW, ROW + 5)]
    with Client(Config.of({**given, "bot": "bot-2"})) as one, Client(Config.of({**given, "bot": "bot-3"})) as other:
        found = []
        for row in range(ROW, ROW + 5):
            found.append(one.decide(SYMBOL, ours.take(slice(0, row))))
            assert other.decide(SYMBOL, theirs.take(slice(0, row))).source == "model"
        text = one.metrics_text()
    assert [decision.source for decision in found] == ["model"] * 5
    assert [decision.probability for decision in found] == expected
    assert 'tidegate_client_requests_total{route="/v1/predict",outcome="wrong_window"} 4' in text
