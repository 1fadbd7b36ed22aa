"""The whole way with real servers: service and watch's exporter, Prometheus, Alertmanager, a webhook; and every query of every panel under load.

The watch's figures come from its real exporter, with samples that a healthy watch would show.
"""

import http.client
import json
import math
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import pytest
from tests.e2e.serving_process import Serving
from tests.integration.observability.programs import ALERTS, DASHBOARDS, RECORDED, program
from tests.integration.observability.servers import (
    FOR_S,
    Prometheus,
    Receiver,
    alertmanager,
    get,
    prometheus,
    receiving,
    until,
)
from tests.integration.serving.http.real import whole_window
from tests.integration.serving.models.shelf import Shelf
from tests.servers import free_port, mlflow_server
from tests.unit.model.small_model import small_dataset

from tidegate.keys.api_keys import ApiKeys, new_key
from tidegate.model.manifest import FeatureReference
from tidegate.watch.exporter import DESCRIPTIONS, WatchMetrics, exporting
from tidegate.watch.figures import Sample

pytestmark = [pytest.mark.slow, pytest.mark.servers]

STRATEGY = "small"
LIMIT_RPS = 100
# Of every feature: the random walk's stay inside, those of a bar that triples the price do not.
SMALL_RANGE = FeatureReference(probabilities=(0.0, 1.0), values=(-0.5, 0.5))
# How the watch's figures look on a healthy system, where 0 would not do: a time stamp is that many seconds ago.
AGES_S = {
    "tidegate_promoted_timestamp_seconds": 86_400,
    "tidegate_retrain_finished_timestamp_seconds": 86_400,
    "tidegate_monitor_last_run_timestamp_seconds": 3600,
    "tidegate_bars_newest_timestamp_seconds": 3600,
    "tidegate_backup_taken_timestamp_seconds": 3600,
    "tidegate_restore_drill_passed_timestamp_seconds": 86_400,
}
VALUES = dict.fromkeys(
    (
        "tidegate_instance_up",
        "tidegate_instance_version",
        "tidegate_production_version",
        "tidegate_backup_whole",
    ),
    1.0,
)
LABELS = {
    "tidegate_instance_up": {"instance": "one"},
    "tidegate_instance_version": {"instance": "one", "strategy": STRATEGY},
    "tidegate_ledger_acts": {"strategy": STRATEGY, "action": "promote"},
    "tidegate_monitor_last_run_timestamp_seconds": {"strategy": STRATEGY, "period": "daily"},
    "tidegate_drift_effect": {"strategy": STRATEGY, "feature": "return_1"},
    "tidegate_rule_fired": {"strategy": STRATEGY, "rule": "latency", "action": "roll_back"},
    "tidegate_undelivered_notifications": {},
    "tidegate_backup_taken_timestamp_seconds": {},
    "tidegate_backup_whole": {},
    "tidegate_restore_drill_passed_timestamp_seconds": {},
}


def healthy_watch() -> WatchMetrics:
    metrics, now = WatchMetrics(), time.time()
    metrics.shown.replace(
        "all",
        [
            Sample(
                name,
                tuple(sorted(LABELS.get(name, {"strategy": STRATEGY}).items())),
                now - AGES_S[name] if name in AGES_S else VALUES.get(name, 0.0),
            )
            for name in DESCRIPTIONS
        ],
    )
    metrics.errors.labels("ledger").inc()  # an old one
    return metrics


class Bot:
    """A client that keeps its connection, with a key of its own."""

    def __init__(self, port: int, key: str) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        self.headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, bytes]:
        content = None if body is None else json.dumps(body)
        self.connection.request(method, path, content, self.headers)
        answer = self.connection.getresponse()
        return answer.status, answer.read()


def heartbeat(bot: Bot) -> None:
    said = {"bot": "one", "strategy": STRATEGY, "last_version": 1, "last_bundle_digest": None, "breaker": "closed"}
    said |= {"decisions": {"model": 7}, "dry_run": True, "sent_at": time.time_ns() // 1_000_000}
    assert bot.ask("POST", "/v1/bots/heartbeat", said)[0] == 204


def wild_window() -> dict[str, Any]:
    """A window whose newest bar is like none in the training."""
    asked = whole_window()
    bars = asked["items"][0]["bars"]
    bars["close"][-1] *= 3
    bars["high"][-1] *= 3
    return asked


def unusual(bot: Bot, burst: Bot) -> None:
    """What makes the series that a quiet service lacks: an abstention, a refusal, a key over its limit."""
    status, body = bot.ask("POST", "/v1/predict", wild_window())
    (answer,) = json.loads(body)["answers"]
    assert status == 200
    assert answer["abstain"] is not None, answer["out_of_distribution"]
    assert bot.ask("POST", "/v1/predict", {"items": []})[0] == 422
    assert any(burst.ask("GET", "/v1/model")[0] == 429 for _ in range(20 * LIMIT_RPS))


@dataclass
class System:
    serving: Serving
    watch: WatchMetrics
    prometheus: Prometheus
    receiver: Receiver
    keys: dict[str, str]

    def bot(self, key: str = "bot") -> Bot:
        return Bot(self.serving.port, self.keys[key])


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    for name in ("prometheus", "prometheus-alertmanager"):
        program(name)
    folder = tmp_path_factory.mktemp("alerting")
    made = {
        name: new_key(name, scopes, created_at=0)
        for name, scopes in (("bot", ["predict"]), ("burst", ["predict"]), ("prometheus", ["metrics"]))
    }
    ApiKeys(key for _, key in made.values()).write(folder / "keys.yaml")
    keys = {name: text for name, (text, _) in made.items()}
    watch = healthy_watch()
    with mlflow_server(folder / "mlflow") as registry:
        shelf = Shelf(registry, folder / "mlflow" / "artifacts", folder, STRATEGY)
        shelf.promote(reference=dict.fromkeys(small_dataset().features.names, SMALL_RANGE))
        changes: dict[str, Any] = {
            "api_keys_file": folder / "keys.yaml",
            "rate_limit_rps": LIMIT_RPS,
            "abstain_out_of_distribution_above": 0.5,
            "poll_s": 1,
        }
        serving = Serving(folder, registry, free_port(), STRATEGY, **changes)
        with serving, receiving() as receiver, exporting("127.0.0.1", 0, watch, lambda: True) as shown:
            with Bot(serving.port, keys["bot"]) as bot, Bot(serving.port, keys["burst"]) as burst:
                unusual(bot, burst)
            with (
                alertmanager(folder / "alertmanager", receiver) as told,
                prometheus(
                    folder / "prometheus",
                    [f"127.0.0.1:{serving.port}"],
                    shown.removeprefix("http://"),
                    told,
                    keys["prometheus"],
                ) as found,
            ):
                yield System(serving, watch, found, receiver, keys)


@pytest.fixture
def load(system: System) -> Iterator[None]:
    """Twenty predictions and a heartbeat a second, and looks of the watch."""
    stop = threading.Event()
    failed: list[str] = []

    def ask() -> None:
        asked, number = whole_window(), 0
        try:
            with system.bot() as bot:
                while not stop.wait(0.05):
                    status, body = bot.ask("POST", "/v1/predict", asked)
                    assert status == 200, body
                    number += 1
                    if number % 20 == 1:
                        heartbeat(bot)
                    system.watch.looks.labels("one", "whole").inc()
                    system.watch.last_look.set_to_current_time()
        except (OSError, http.client.HTTPException, AssertionError) as error:
            failed.append(repr(error))

    thread = threading.Thread(target=ask)
    thread.start()
    yield
    stop.set()
    thread.join(20)
    assert failed == []


def queries() -> dict[str, str]:
    """Every query of every panel, with all values of its variable; and every recorded figure."""
    found = {rule["record"]: rule["record"] for rule in RECORDED}
    for path in DASHBOARDS:
        for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]:
            for target in panel.get("targets", ()):
                asked = target["expr"].replace("$instance", ".*").replace("$strategy", ".*")
                assert "$" not in asked
                found[f"{path.stem}: {panel['title']} {target['refId']}"] = asked
    return found


@pytest.mark.usefixtures("load")
def test_every_panel_has_data_under_load(system: System) -> None:
    asked = queries()
    assert len(asked) > 60

    def without() -> list[str]:
        return [
            name
            for name, expression in asked.items()
            if not any(math.isfinite(float(one["value"][1])) for one in system.prometheus.ask(expression))
        ]

    deadline = time.monotonic() + 20
    while (missing := without()) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert missing == []


@pytest.mark.usefixtures("load")
def test_no_alert_but_the_watchdog_on_the_healthy_system(system: System) -> None:
    # Until its first scrape Prometheus knows no target and, with a `for` as short as here, says so.
    until(lambda: system.prometheus.firing() == {"Watchdog"}, "the quiet after the start")
    began, told = time.monotonic(), len(system.receiver.calls)
    time.sleep(3 * FOR_S)
    window = f"{time.monotonic() - began:.0f}s"
    assert system.prometheus.ask(f'max_over_time(ALERTS{{alertname!="Watchdog"}}[{window}])') == []
    assert system.prometheus.firing() == {"Watchdog"}
    until(lambda: "heartbeat" in {call.receiver for call in system.receiver.calls[told:]}, "the heartbeat")
    assert [
        call for call in system.receiver.calls[told:] if call.status == "firing" and call.receiver != "heartbeat"
    ] == []


def test_the_figures_are_the_services_own(system: System) -> None:
    (version,) = system.prometheus.ask('tidegate_model_version{role="production"}')
    assert version["metric"]["strategy"] == STRATEGY
    assert float(version["value"][1]) == 1
    (up,) = system.prometheus.ask("tidegate_instance_up")
    assert up["metric"]["instance"] == "one", "the watch's own label was written over"
    (started,) = system.prometheus.ask('process_start_time_seconds{job="tidegate-serving"}')
    assert 0 < time.time() - float(started["value"][1]) < 600


def test_a_stopped_service_is_told_and_so_is_its_start(system: System) -> None:
    serving, receiver = system.serving, system.receiver
    serving.process.send_signal(signal.SIGTERM)
    serving.process.wait(20)
    instance = f"127.0.0.1:{serving.port}"

    def told(status: str) -> list[dict[str, Any]]:
        return [
            alert
            for call in receiver.of("on-call", "ServiceDown", status)
            for alert in call.alerts
            if alert["labels"].get("instance") == instance and alert["status"] == status
        ]

    alert = until(lambda: told("firing"), "the alert")[0]
    assert alert["labels"]["severity"] == "critical"
    assert told("resolved") == []
    assert alert["annotations"]["description"].startswith(f"{instance} has not answered")
    assert alert["annotations"]["runbook_url"] == "docs/runbook.md#servicedown"
    serving.start()
    until(lambda: told("resolved"), "the end of the alert")


def test_texts_of_all_alerts_can_be_written(system: System) -> None:
    """Prometheus itself has read every template; one that fails would be told in the alert's text, not refused."""
    known = {rule["name"]: rule for group in _groups(system) for rule in group["rules"] if rule["type"] == "alerting"}
    assert set(known) == {rule["alert"] for rule in ALERTS}
    assert [name for name, rule in known.items() if rule.get("lastError")] == []


def _groups(system: System) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = get(f"{system.prometheus.address}/api/v1/rules")["data"]["groups"]
    return found
