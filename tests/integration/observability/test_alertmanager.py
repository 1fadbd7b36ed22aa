"""Who is told what: routes as a table, and inhibition and escalation with a real Alertmanager."""

import json
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.integration.observability.programs import ALERTMANAGER, ALERTS, content, copied, run
from tests.integration.observability.servers import Receiver, alertmanager, get, receiving, until

ONE = "instance=one:8080"


def test_the_settings_are_right(tmp_path: Path) -> None:
    found = run("amtool", "check-config", str(copied(ALERTMANAGER, tmp_path / "settings") / "alertmanager.yml"))
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.parametrize(
    ("labels", "receivers"),
    [
        ("alertname=ServiceDown severity=critical", "on-call,escalation"),
        ("alertname=StrategyHalted severity=critical strategy=eurusd", "on-call,escalation"),
        ("alertname=BudgetBurnFast severity=critical window=1h", "on-call,escalation"),
        ("alertname=HighLatency severity=warning", "team"),
        ("alertname=DriftDetected severity=warning strategy=eurusd", "team"),
        ("alertname=RateLimited severity=info", "record"),
        ("alertname=Watchdog severity=info", "heartbeat"),
        ("alertname=Watchdog severity=critical", "heartbeat"),
        ("alertname=Unforeseen", "team"),
        ("alertname=Unforeseen severity=unheard-of", "team"),
    ],
)
def test_routes(labels: str, receivers: str) -> None:
    found = run(
        "amtool",
        "config",
        "routes",
        "test",
        f"--config.file={ALERTMANAGER / 'alertmanager.yml'}",
        f"--verify.receivers={receivers}",
        *labels.split(),
    )
    assert found.returncode == 0, found.stdout + found.stderr


def test_inhibition_names_alerts_that_exist() -> None:
    known = {rule["alert"] for rule in ALERTS}
    named = {
        name
        for rule in content(ALERTMANAGER / "alertmanager.yml")["inhibit_rules"]
        for matcher in (*rule["source_matchers"], *rule["target_matchers"])
        if matcher.startswith("alertname")
        for name in matcher.split("~")[-1].split("=")[-1].strip().strip('"').split("|")
    }
    assert named <= known


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("alerts") / "alertmanager"
    with alertmanager(folder, receiver, escalate_after_s=3) as found:
        yield found


def post(address: str, *alerts: str, for_s: float = 60.0) -> None:
    """Tell Alertmanager of alerts, as labels, that end by themselves after a while unless they are told again."""
    ends_at = datetime.fromtimestamp(time.time() + for_s, UTC).isoformat(timespec="milliseconds")
    body = [{"labels": dict(pair.split("=", 1) for pair in labels.split()), "endsAt": ends_at} for labels in alerts]
    request = urllib.request.Request(
        f"http://{address}/api/v2/alerts", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    urllib.request.urlopen(request, timeout=10).close()


def inhibited(address: str) -> dict[str, bool]:
    """Whether each alert is held back by another one, by its name and the label that tells it from others."""
    return {
        " ".join(one["labels"].get(name, "") for name in ("alertname", "strategy", "instance")).strip(): bool(
            one["status"]["inhibitedBy"]
        )
        for one in get(f"http://{address}/api/v2/alerts")
    }


def test_what_inhibits_what(address: str) -> None:
    post(
        address,
        f"alertname=ServiceDown severity=critical {ONE}",
        f"alertname=HighLatency severity=warning {ONE}",
        "alertname=HighLatency severity=warning instance=two:8080",
        f"alertname=NotReady severity=critical {ONE}",
        "alertname=SequentialAlarm severity=critical strategy=a",
        "alertname=LiveWinRateLow severity=warning strategy=a",
        "alertname=LiveWinRateLow severity=warning strategy=b",
        "alertname=DriftDetected severity=warning strategy=a",
        "alertname=VersionsDisagree severity=warning strategy=a",
        "alertname=BotSilent severity=warning strategy=a",
        "alertname=OpenIncident severity=warning strategy=a",
        f"alertname=InstanceUnreachable severity=warning {ONE}",
        "alertname=InstanceUnreachable severity=warning instance=two:8080",
        "alertname=BotCutOff severity=critical strategy=a instance=bot:9465",
        "alertname=BotOnFallback severity=warning strategy=a instance=bot:9465",
        "alertname=BotClockSkew severity=warning strategy=a instance=bot:9465",
        "alertname=SomethingElse severity=warning",
        "alertname=BudgetBurnFast severity=critical job=tidegate-serving",
        "alertname=BudgetBurnSlow severity=warning job=tidegate-serving",
    )
    expected = {
        "ServiceDown  one:8080": False,
        "HighLatency  one:8080": True,
        "HighLatency  two:8080": False,
        "NotReady  one:8080": True,
        "SequentialAlarm a": False,
        "LiveWinRateLow a": True,
        "LiveWinRateLow b": False,
        "DriftDetected a": True,
        # What a rollback does not explain is told, whatever else is critical about the strategy.
        "VersionsDisagree a": False,
        "BotSilent a": False,
        "OpenIncident a": False,
        "InstanceUnreachable  one:8080": True,
        "InstanceUnreachable  two:8080": False,
        "BotCutOff a bot:9465": False,
        "BotOnFallback a bot:9465": True,
        "BotClockSkew a bot:9465": False,
        # Critical alerts without a strategy hold back no warning without one.
        "SomethingElse": False,
        "BudgetBurnFast": False,
        "BudgetBurnSlow": True,
    }

    def settled() -> bool:
        found = inhibited(address)
        return {name: found.get(name) for name in expected} == expected

    until(settled, f"{expected}, last {inhibited(address)}", 10)


def test_only_what_goes_on_escalates(address: str, receiver: Receiver) -> None:
    post(address, "alertname=Short severity=critical", for_s=1)
    post(address, "alertname=Long severity=critical", for_s=8)
    for name in ("Short", "Long"):
        until(lambda name=name: receiver.of("on-call", name), f"{name} at on-call")  # type: ignore[misc]
    assert not receiver.of("escalation", "Long"), "escalation was told at once"
    until(lambda: receiver.of("escalation", "Long"), "the escalation of Long")
    until(lambda: receiver.of("escalation", "Long", "resolved"), "the end of Long")
    assert not [call for call in receiver.calls if call.receiver == "escalation" and "Short" in str(call.alerts)]
    assert {call.authorization for call in receiver.calls} == {"Bearer secret"}


def test_a_warning_goes_to_the_team_and_a_note_to_nobody(address: str, receiver: Receiver) -> None:
    post(address, "alertname=Note severity=info", "alertname=Warn severity=warning")
    until(lambda: receiver.of("team", "Warn"), "the warning")
    assert not [call for call in receiver.calls if "Note" in str(call.alerts)]
