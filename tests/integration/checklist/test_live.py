"""Probes of what runs: each passes on a sound installation of real processes, and fails when that is broken."""

import json
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.checklist_places import REPOSITORY, checkout, found, written
from tests.integration.checklist.live import NAME, REAL, Live, answering, live
from tests.integration.observability.servers import until
from tests.integration.serving.http.real import prepared
from tests.integration.serving.http.running import Running, serving

from tidegate.checklist.service import Service

pytestmark = [pytest.mark.slow, pytest.mark.servers]

# Asked before anything is broken. The project's own files are looked at where the line is about files.
SOUND = (
    "api.cors", "api.authentication", "api.validation", "api.errors", "infrastructure.health", "infrastructure.monitoring", "code.api_docs",
    "environment.access_logs", "latency.windows_kept", "latency.loaded_once", "monitoring.latency", "monitoring.predictions",
    "monitoring.errors", "monitoring.resources", "monitoring.alert_latency", "monitoring.alert_errors", "monitoring.alert_down",
    "monitoring.alert_drift", "bot.client", "bot.end_to_end", "bot.dry_run", "communication.network", "communication.health_polling",
    "trigger.latency", "trigger.errors", "trigger.crashes", "trigger.bots", "score.finite",
)  # fmt: skip


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with live(tmp_path_factory.mktemp("live")) as running:
        where = running.context(REPOSITORY)
        metrics = ("monitoring.latency", "monitoring.errors", "infrastructure.monitoring")

        def has_figures() -> bool:
            running.predict()
            return all(found(name, where).verdict == "pass" for name in metrics)

        until(has_figures, "Prometheus's first figures")
        yield running


@pytest.fixture(scope="module")
def lax(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service whose settings are those of somebody in a hurry: no keys, every origin, no limit."""
    folder = tmp_path_factory.mktemp("lax")
    chosen = prepared(folder) | {"cors_origins": "*", "docs": "false"}
    with serving(folder / "root", *REAL, **chosen) as running:
        yield running


def test_a_burst_is_stopped(system: Live, tmp_path: Path) -> None:
    """By a service whose limit any machine can reach."""
    with serving(tmp_path / "root", *REAL, **(prepared(tmp_path) | {"rate_limit_rps": 15})) as tight:
        finding = found("api.rate_limit", system.context(checklist={"instances": (tight.url,), "burst": 400}))
    assert finding.verdict == "pass", finding


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_installation_passes(system: Live, name: str) -> None:
    finding = found(name, system.context(REPOSITORY))
    assert finding.verdict == "pass", finding
    assert len(finding.evidence) > 10


@pytest.mark.parametrize("name", ["api.cors", "api.authentication", "api.rate_limit"])
def test_a_lax_service_fails(system: Live, lax: Running, name: str) -> None:
    where = system.context(checklist={"instances": (lax.url,), "burst": 100})
    finding = found(name, where)
    assert (finding.verdict, finding.link) == ("fail", lax.url), finding


def test_a_service_without_its_description_is_not_measured(system: Live, lax: Running) -> None:
    assert (
        found("code.api_docs", system.context(REPOSITORY, checklist={"instances": (lax.url,)})).verdict
        == "not_measured"
    )


@pytest.mark.parametrize(
    ("name", "status", "body", "headers"),
    [
        ("api.validation", 500, b'{"title": "oops"}', {"content_type": "application/problem+json"}),
        ("api.validation", 422, b'{"title": "no"}', {"content_type": "application/json"}),
        ("api.validation", 200, b"{}", {"content_type": "application/problem+json"}),
        ("api.errors", 422, b'Traceback: File "service.py", line 3, in predict', {}),
        ("api.errors", 500, b"no such table in /srv/tidegate/ledger.db", {}),
        ("api.errors", 422, b"{}", {"x_powered_by": "PHP"}),
        ("api.authentication", 200, b"{}", {}),
        ("api.cors", 204, b"", {"access_control_allow_origin": "*"}),
        ("api.rate_limit", 429, b"{}", {"content_type": "text/html"}),
        ("infrastructure.health", 200, b'{"alive": false, "ready": true}', {}),
        ("infrastructure.health", 503, b'{"alive": true, "ready": false}', {}),
        ("code.api_docs", 200, b'{"openapi": "3.1.0", "paths": {}}', {}),
        ("latency.loaded_once", 200, b"not metrics {", {}),
    ],
)  # fmt: skip
def test_a_service_that_behaves_badly_fails(
    system: Live, name: str, status: int, body: bytes, headers: dict[str, str]
) -> None:
    with answering(status, body, **headers) as address:
        finding = found(name, system.context(REPOSITORY, checklist={"instances": (address,), "burst": 60}))
    assert finding.verdict == "fail", finding


@pytest.mark.parametrize("name", [name for name in SOUND if not name.startswith(("trigger.", "monitoring.alert"))])
def test_nobody_who_answers_fails_and_nothing_known_is_not_measured(system: Live, name: str) -> None:
    gone = found(name, system.context(REPOSITORY, checklist={"instances": ("http://127.0.0.1:1",), "prometheus_url": "http://127.0.0.1:1", "bot_metrics_urls": ("http://127.0.0.1:1",)}))  # fmt: skip
    assert gone.verdict == "fail", gone
    assert "does not answer" in gone.evidence


def test_a_service_that_answers_everything_with_429_says_nothing_of_keys(system: Live) -> None:
    with answering(429, b"{}") as address:
        finding = found("api.authentication", system.context(REPOSITORY, checklist={"instances": (address,)}))
    assert finding.verdict == "not_measured", finding


def test_a_wrong_key_passes_nothing_that_needs_one(system: Live) -> None:
    wrong = written(system.root / "wrong-key", "tg_probes_" + "x" * 43)
    for name in (
        "latency.windows_kept",
        "latency.loaded_once",
        "monitoring.predictions",
        "bot.client",
        "api.validation",
    ):
        assert found(name, system.context(checklist={"api_key_file": wrong})).verdict != "pass"


def test_a_request_that_is_not_in_the_access_log_fails(system: Live, tmp_path: Path) -> None:
    empty = written(tmp_path / "access.log", "")
    where = system.context(checklist={"access_log": empty, "timeout_s": 0.3})
    assert found("environment.access_logs", where).verdict == "fail"


def test_a_description_that_was_not_kept_up_fails(system: Live, tmp_path: Path) -> None:
    path = "docs/contracts/openapi.json"
    described = json.loads((REPOSITORY / path).read_text(encoding="utf-8"))
    del described["paths"]["/v1/model"]
    written(tmp_path / path, json.dumps(described))
    assert found("code.api_docs", system.context(tmp_path)).verdict == "fail"


def _edited(folder: Path, old: str, new: str) -> Path:
    """The project's rules with one change."""
    shutil.copytree(REPOSITORY / "docker" / "prometheus", folder / "docker" / "prometheus")
    path = folder / "docker" / "prometheus" / "rules" / "alerts.yml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("monitoring.alert_latency", "p95_5m > 0.020", "p95_5m > 0.200"),
        ("monitoring.alert_latency", "p95_5m > 0.020", "p50_5m > 0.020"),
        ("monitoring.alert_errors", "ratio5m > 0.05", "ratio5m > 0.5"),
        ("monitoring.alert_errors", "alert: HighErrorRate", "alert: Other"),
        ("monitoring.alert_down", 'or absent(up{job="tidegate-serving"})', ""),
        ("monitoring.alert_drift", 'rule="drift"', 'rule="draft"'),
        ("monitoring.alert_drift", "tidegate_open_incidents) > 0", "tidegate_open_incidents > 0"),
        ("monitoring.alert_latency", "        for: 5m\n", "        for: 50m\n"),
        ("infrastructure.monitoring", "alert: WatchDown", "alert: NotLoadedYet"),
        ("outage.alerts", "for: 1m", "for: 1h"),
    ],
)  # fmt: skip
def test_rules_that_were_loosened_fail(system: Live, tmp_path: Path, name: str, old: str, new: str) -> None:
    finding = found(name, system.context(_edited(tmp_path, old, new)))
    assert finding.verdict == "fail", finding


def test_a_rule_that_neither_promtool_nor_prometheus_has_looked_at_is_not_measured(
    system: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    assert found("monitoring.alert_down", system.context(REPOSITORY)).verdict == "pass"
    finding = found("monitoring.alert_down", system.context(REPOSITORY, checklist={"prometheus_url": None}))
    assert finding.verdict == "not_measured", finding


def test_a_rule_that_the_strategy_only_observes_fails(system: Live) -> None:
    where = system.context(REPOSITORY)
    own = where.strategy
    rules = own.rollback.model_copy(
        update={"latency_action": "observe", "error_action": "observe", "drift_action": "observe"}
    )
    where._strategy = own.model_copy(update={"rollback": rules})
    for name in ("monitoring.alert_latency", "monitoring.alert_errors", "monitoring.alert_drift", "trigger.latency"):
        assert found(name, where).verdict == "fail"


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("trigger.latency", {"latency_p95_ms": 25.0}),
        ("trigger.latency", {"latency_minutes": 120, "min_requests": 10_000_000}),
        ("trigger.errors", {"error_rate": 0.06}),
        ("trigger.crashes", {"crashes": 4}),
        ("trigger.bots", {"bot_minutes": 6}),
        ("trigger.win_rate", {"win_rate": 0.50}),
        ("trigger.win_rate", {"win_rate_days": 60, "min_trades": 100_000}),
        ("trigger.sharpe", {"sharpe": 0.9}),
    ],
)
def test_a_trigger_that_is_looser_than_the_list_fails(system: Live, name: str, changes: dict[str, Any]) -> None:
    where = system.context()
    own = where.strategy
    where._strategy = own.model_copy(update={"rollback": own.rollback.model_copy(update=changes)})
    assert found(name, where).verdict == "fail"


@pytest.mark.parametrize("rule", ["latency", "errors", "crashes", "bots"])
def test_a_trigger_that_fires_now_fails_and_one_that_is_not_judged_is_not_measured(system: Live, rule: str) -> None:
    try:
        for value, verdict in ((1.0, "fail"), (-1.0, "not_measured"), (0.0, "pass")):
            system.judged(**{rule: value})
            assert found(f"trigger.{rule}", system.context()).verdict == verdict
    finally:
        system.judged()
    assert found(f"trigger.{rule}", system.context(watch={"port": 1})).verdict == "fail"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("bot.end_to_end", {"last_version": 2}),
        ("bot.end_to_end", {"decisions": {"fallback": 7}}),
        ("communication.network", {"breaker": "open"}),
        ("bot.dry_run", {"dry_run": False}),
    ],
)
def test_what_a_bot_says_decides(system: Live, name: str, says: dict[str, Any]) -> None:
    try:
        system.beat(**says)
        finding = found(name, system.context())
        assert finding.verdict == "fail", finding
    finally:
        system.beat()


def test_a_bot_of_another_strategy_is_none(system: Live) -> None:
    where = system.context()
    where._strategy = where.strategy.model_copy(update={"name": "other"})
    assert found("bot.client", where).verdict == "not_measured"


def test_a_bot_that_fell_silent_fails(system: Live) -> None:
    where = system.context()
    bots = [{**bot, "age_s": 301.0} for bot in where.bots]
    where.__dict__["bots"] = bots
    assert found("bot.client", where).verdict == "fail"


def test_a_bot_that_never_asks_for_health_or_does_not_reach_the_service_fails(system: Live) -> None:
    text = system.bot.text()
    quiet = "\n".join(line for line in text.splitlines() if "/readyz" not in line) + "\n"
    away = text.replace("tidegate_client_health 1", "tidegate_client_health -1")
    for name, body in (("communication.health_polling", quiet), ("communication.network", away)):
        with answering(200, body.encode(), content_type="text/plain") as address:
            assert (
                found(name, system.context(checklist={"bot_metrics_urls": (f"{address}/metrics",)})).verdict == "fail"
            )


def test_predictions_are_timed_by_the_services_own_histogram(system: Live) -> None:
    body = (
        "# TYPE tidegate_request_seconds histogram\n"
        'tidegate_request_seconds_bucket{le="0.01",route="/v1/predict"} 94\n'
        'tidegate_request_seconds_bucket{le="0.02",route="/v1/predict"} 96\n'
        'tidegate_request_seconds_bucket{le="+Inf",route="/v1/predict"} 100\n'
    )
    with answering(200, body.encode(), content_type="text/plain") as address:
        finding = found("after.latency", system.context(checklist={"instances": (address,)}))
        steep = body.replace(" 94", " 95").encode()
        missing = found("monitoring.predictions", system.context(checklist={"instances": (address,)}))
        once = found("latency.loaded_once", system.context(checklist={"instances": (address,)}))
    with answering(200, steep, content_type="text/plain") as address:
        quick = found("after.latency", system.context(checklist={"instances": (address,)}))
    assert (finding.verdict, "at most 20 ms" in finding.evidence) == ("fail", True)
    assert (quick.verdict, "at most 10 ms" in quick.evidence) == ("pass", True)
    assert found("after.latency", system.context()).verdict != "not_measured"
    assert (missing.verdict, once.verdict) == ("fail", "not_measured")


def test_the_alert_that_always_fires_has_come_to_alertmanager(system: Live) -> None:
    where = system.context(REPOSITORY)
    until(lambda: found("outage.alerts", system.context(REPOSITORY)).verdict == "pass", "the dead man's switch")
    assert found("outage.alerts", where).verdict == "pass"
    with answering(200, b"[]") as silent:
        assert found("outage.alerts", system.context(REPOSITORY, notify={"alertmanager_url": silent})).verdict == "fail"


def test_a_load_of_a_model_at_each_request_is_noticed(system: Live) -> None:
    from tidegate.checklist.probes.latency import loaded_once

    where = system.context()
    service = where.service
    answers = [service.fresh_metrics() for _ in range(2)]
    name = "tidegate_model_loaded_timestamp_seconds"
    answers[1][name] = [(labels, value + 1) for labels, value in answers[1][name]]
    service.fresh_metrics = lambda: answers.pop(0)  # type: ignore[method-assign]
    assert loaded_once(where).verdict == "fail"


def test_logs_that_grow_with_every_request_or_are_at_debug_fail(system: Live, tmp_path: Path) -> None:
    line = json.dumps({"at": time.time_ns() // 1_000_000, "level": "info", "logger": "x", "message": "started"}) + "\n"
    log = written(tmp_path / "serving-000001.jsonl", line)
    logs = {"file": tmp_path / "{process}.jsonl"}
    assert found("latency.quiet", system.context(logs=logs)).verdict == "pass"
    assert found("code.logging", system.context(logs=logs)).verdict == "pass"
    assert found("latency.quiet", system.context(logs={**logs, "level": "debug"})).verdict == "fail"
    log.write_text(line.replace('"info"', '"debug"'), encoding="utf-8")
    assert found("latency.quiet", system.context(logs=logs)).verdict == "fail"
    log.write_text(line + "no JSON\n", encoding="utf-8")
    assert found("code.logging", system.context(logs=logs)).verdict == "fail"
    log.write_text(line.replace(line[6:19], "1600000000000"), encoding="utf-8")
    assert found("code.logging", system.context(logs=logs)).verdict == "fail"
    assert found("code.logging", system.context()).verdict == "not_measured"


def test_an_own_checkout_is_looked_at(system: Live, tmp_path: Path) -> None:
    checkout(tmp_path, {"configs/strategies/small.yaml": "name: small\n"})
    settings = system.context().settings
    where = system.context(
        tmp_path, paths={**settings.paths.model_dump(), "strategies": tmp_path / "configs" / "strategies"}
    )
    where._strategy = where.strategy.model_copy(update={"name": NAME})
    assert found("score.spec_in_git", where).verdict == "pass"
    written(tmp_path / "configs" / "strategies" / "small.yaml", "name: other\n")
    assert found("score.spec_in_git", where).verdict == "fail"


def test_bots_that_send_their_windows_again_and_again_fail(system: Live) -> None:
    where = system.context()
    where.service.metrics["tidegate_problems_total"] = [({"kind": "window_unknown"}, 1e6)]
    assert found("latency.windows_kept", where).verdict == "fail"
    with answering(200, json.dumps([{"strategy": NAME, "production": None}]).encode()) as empty:
        assert (
            found("latency.windows_kept", system.context(checklist={"instances": (empty,)})).verdict == "not_measured"
        )


def test_without_a_prediction_nobody_knows_how_often_windows_are_sent_again(system: Live) -> None:
    where = system.context()
    where.service.fresh_metrics = dict  # type: ignore[method-assign]
    assert found("latency.windows_kept", where).verdict == "not_measured"


def test_a_burst_goes_to_no_strange_machine(system: Live) -> None:
    where = system.context(checklist={"instances": ()})
    where.kept[type(where).__dict__["services"]] = (Service(where.web, "http://192.0.2.1:8080", None),), None
    assert found("api.rate_limit", where).verdict == "not_measured"


def test_bots_that_act_have_run_dry_before(system: Live) -> None:
    """Prometheus remembers: two bots that are known to it, one of them has run dry."""
    try:
        system.beat(dry_run=False)
        for values, verdict in ((["1", "0"], "pass"), (["0", "0"], "fail")):
            result = [{"value": [0, value]} for value in values]
            with answering(200, json.dumps({"status": "success", "data": {"result": result}}).encode()) as address:
                assert found("bot.dry_run", system.context(checklist={"prometheus_url": address})).verdict == verdict
    finally:
        system.beat()


# What answers, and is not what is asked for


PROBLEM = {"content_type": "application/problem+json"}


@pytest.mark.parametrize(
    ("name", "status", "headers", "verdict"),
    [
        ("api.cors", 404, {}, "fail"),
        ("api.validation", 429, PROBLEM, "not_measured"),
        ("api.validation", 404, PROBLEM, "fail"),
        ("api.errors", 429, PROBLEM, "not_measured"),
        ("api.errors", 404, {"content_type": "text/html"}, "fail"),
    ],
)
def test_some_other_server_passes_nothing(
    system: Live, name: str, status: int, headers: dict[str, str], verdict: str
) -> None:
    with answering(status, b'{"title": "no"}', **headers) as address:
        finding = found(name, system.context(REPOSITORY, checklist={"instances": (address,)}))
    assert finding.verdict == verdict, finding


def test_a_second_process_is_looked_at_as_well(system: Live, lax: Running) -> None:
    where = system.context(REPOSITORY, checklist={"instances": (system.sound.url, lax.url), "burst": 100})
    for name in ("api.cors", "api.authentication", "infrastructure.monitoring"):
        assert found(name, where).verdict == "fail", name


def test_a_rule_of_the_same_name_with_another_bound_is_not_the_projects(system: Live) -> None:
    sound = 'instance:tidegate_predict_seconds:p95_5m{job="tidegate-serving"} > 0.02'
    for query, duration, health, verdict in (
        (sound, 300, "ok", "pass"),
        (sound.replace("0.02", "2"), 300, "ok", "fail"),
        (sound.replace("p95", "p50"), 300, "ok", "fail"),
        (sound, 36_000, "ok", "fail"),
        (sound, 300, "err", "fail"),
    ):
        rule = {"name": "HighLatency", "query": query, "duration": duration, "health": health}
        body = json.dumps({"status": "success", "data": {"groups": [{"rules": [rule]}]}}).encode()
        with answering(200, body) as address:
            where = system.context(REPOSITORY, checklist={"prometheus_url": address})
            assert found("monitoring.alert_latency", where).verdict == verdict, rule


def test_series_of_which_no_value_is_a_number_are_no_figures(system: Live) -> None:
    for value, verdict in (("0.01", "pass"), ("NaN", "fail"), ("+Inf", "fail")):
        body = json.dumps({"status": "success", "data": {"result": [{"value": [0, value]}]}}).encode()
        with answering(200, body) as address:
            where = system.context(REPOSITORY, checklist={"prometheus_url": address})
            assert found("monitoring.latency", where).verdict == verdict


@pytest.mark.parametrize("name", ["bot.client", "bot.end_to_end", "communication.network"])
def test_the_last_word_of_a_bot_that_fell_silent_says_nothing_of_now(system: Live, name: str) -> None:
    where = system.context()
    where.__dict__["bots"] = [{**bot, "age_s": 301.0} for bot in where.bots]
    assert found(name, where).verdict == "fail"


def test_questions_that_do_not_come_to_the_model_prove_nothing_of_it(system: Live) -> None:
    """A service that refuses every question as malformed loads no model for them either."""
    where = system.context()
    service = where.service
    ask = service.ask
    sent: list[tuple[str, bytes | None, int]] = []

    def seen(path: str, **changes: Any) -> Any:  # noqa: ANN401
        reply = ask(path, **changes)
        sent.append((path, changes.get("body"), reply.status))
        return reply

    service.ask = seen  # type: ignore[method-assign]
    assert found("latency.loaded_once", where).verdict == "pass"
    asked = [status for path, _, status in sent if path == "/v1/predict"]
    assert asked == [409] * len(asked)
    assert len(asked) >= 5


def test_a_log_of_another_process_says_nothing_of_the_service(system: Live, tmp_path: Path) -> None:
    written(tmp_path / "watch-000001.jsonl", json.dumps({"at": 1, "level": "info"}) + "\n")
    where = system.context(logs={"file": tmp_path / "{process}.jsonl"})
    assert found("latency.quiet", where).verdict == "not_measured"


def test_a_service_that_logs_each_question_to_its_model_is_not_quiet(system: Live, tmp_path: Path) -> None:
    log = written(tmp_path / "serving-000001.jsonl", json.dumps({"at": 1, "level": "info"}) + "\n")
    where = system.context(logs={"file": tmp_path / "{process}.jsonl"})
    ask = where.service.ask

    def talkative(path: str, **changes: Any) -> Any:  # noqa: ANN401
        if path == "/v1/predict":
            with log.open("a", encoding="utf-8") as file:
                file.write("x" * 300 + "\n")
        return ask(path, **changes)

    where.service.ask = talkative  # type: ignore[method-assign]
    assert found("latency.quiet", where).verdict == "fail"


def test_every_guarded_route_is_asked_and_a_service_without_keys_is_told_to_do_nothing(
    system: Live, lax: Running
) -> None:
    paths = ("/v1/predict", "/v1/model", "/v1/bots/heartbeat", "/v1/bots", "/v1/admin/check", "/metrics")
    sound = found("api.authentication", system.context())
    assert [path for path in (*paths, "/v1/admin/reload") if not re.search(f"{path} (401|429)/", sound.evidence)] == []
    told = found("api.authentication", system.context(checklist={"instances": (lax.url,)}))
    assert (told.verdict, "/v1/admin/check" in told.evidence, "/reload" in told.evidence) == ("fail", True, False)
