"""The client's own metrics are those of the contract, as Prometheus reads them."""

import re
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families
from tests.unit.client.decisions import decision

from tidegate.client.metrics import Metrics

CONTRACT = (Path(__file__).parents[3] / "docs/contracts/client.md").read_text(encoding="utf-8")


def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(metrics.text())
        for sample in family.samples
    }


def full() -> Metrics:
    metrics = Metrics("sim", dry_run=True)
    metrics.decided(decision())
    metrics.decided(decision(source="fallback", reason="timeout", elapsed_ms=1500.0))
    metrics.requested("/v1/predict", "answered", 0.004)
    metrics.retried()
    metrics.resent()
    metrics.breaker_opened()
    metrics.set_breaker("half_open")
    metrics.set_health("unreachable")
    metrics.set_skew(-1500)
    metrics.signalled(7, 1_780_000_000_000)
    metrics.heartbeat(sent=True)
    return metrics


def test_the_names_are_those_of_the_contract_and_all_of_them() -> None:
    table = CONTRACT.partition("## Metrics")[2].partition("## Check")[0]
    told = set(re.findall(r"`(tidegate_client_\w+)`", table))
    given = {
        family.name + ("_total" if family.type == "counter" else "")
        for family in text_string_to_metric_families(full().text())
    }
    assert given == told


def test_what_was_counted() -> None:
    found = samples(full())
    name = "tidegate_client_"
    by = (("reason", "none"), ("source", "model"), ("strategy", "sim"))
    assert found[name + "decisions_total", by] == 1
    by = (("reason", "timeout"), ("source", "fallback"), ("strategy", "sim"))
    assert found[name + "decisions_total", by] == 1
    assert found[name + "decide_seconds_bucket", (("le", "0.002"), ("strategy", "sim"))] == 1
    assert found[name + "decide_seconds_bucket", (("le", "1"), ("strategy", "sim"))] == 1
    assert found[name + "decide_seconds_bucket", (("le", "+Inf"), ("strategy", "sim"))] == 2
    assert found[name + "decide_seconds_sum", (("strategy", "sim"),)] == 1.502
    assert found[name + "requests_total", (("outcome", "answered"), ("route", "/v1/predict"))] == 1
    assert found[name + "retries_total", ()] == found[name + "window_resends_total", ()] == 1
    assert found[name + "breaker_state", ()] == 1
    assert found[name + "health", ()] == -1
    assert found[name + "clock_skew_seconds", ()] == -1.5
    assert found[name + "version", (("strategy", "sim"),)] == 7
    assert found[name + "last_signal_timestamp_seconds", (("strategy", "sim"),)] == 1_780_000_000
    assert found[name + "dry_run", ()] == 1
    assert found[name + "heartbeats_total", (("result", "sent"),)] == 1
    assert found[name + "heartbeats_total", (("result", "failed"),)] == 0


def test_what_nobody_knows_yet_has_no_sample() -> None:
    names = {name for name, _ in samples(Metrics("sim", dry_run=False))}
    for unknown in ("health", "version", "clock_skew_seconds", "last_signal_timestamp_seconds"):
        assert f"tidegate_client_{unknown}" not in names
    assert "tidegate_client_breaker_state" in names


def test_labels_are_escaped() -> None:
    strange = 'a"b\\c\nd'
    found = samples(Metrics(strange, dry_run=False))
    assert ("tidegate_client_decide_seconds_count", (("strategy", strange),)) in found
