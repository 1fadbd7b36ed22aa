import contextlib
import socket
import time
import urllib.error
import urllib.request

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from tidegate.errors import ServiceError
from tidegate.watch import exporter
from tidegate.watch.exporter import WatchMetrics, exporting
from tidegate.watch.figures import Sample


def get(url: str, accept: str = "") -> tuple[int, str]:
    request = urllib.request.Request(url, headers={"Accept": accept})
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def samples(text: str) -> dict[str, float]:
    return {
        f"{sample.name} {' '.join(sample.labels.values())}".strip(): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.startswith("tidegate_") and not sample.name.endswith("_created")
    }


def test_samples_are_shown_and_replaced_group_by_group() -> None:
    metrics = WatchMetrics()
    metrics.looks.labels("one", "whole").inc()
    metrics.shown.replace("a", [Sample("tidegate_live_sharpe", (("strategy", "s"),), 1.5)])
    metrics.shown.replace("b", [Sample("tidegate_live_sharpe", (("strategy", 't"\n\\'),), 2.5)])
    with exporting("127.0.0.1", 0, metrics, lambda: True) as address:
        status, text = get(f"{address}/metrics")
        assert status == 200
        assert samples(text) == {
            "tidegate_watch_looks_total one whole": 1,
            "tidegate_watch_last_look_timestamp_seconds": 0,
            "tidegate_live_sharpe s": 1.5,
            'tidegate_live_sharpe t"\n\\': 2.5,
        }
        assert "process_resident_memory_bytes" in text
        metrics.shown.replace("a", [])
        assert "tidegate_live_sharpe s" not in samples(get(f"{address}/metrics?x=1")[1])
        open_text = get(f"{address}/metrics", "application/openmetrics-text; version=1.0.0")[1]
        assert list(openmetrics(open_text))  # type: ignore[no-untyped-call]
        assert get(f"{address}/metrics", "application/openmetrics-text; version=nonsense")[0] == 200


def test_the_later_group_counts_for_one_label_set() -> None:
    metrics = WatchMetrics()
    for group, value in (("a", 1.0), ("b", 2.0)):
        metrics.shown.replace(group, [Sample("tidegate_maintenance", (("strategy", "s"),), value)])
    with exporting("127.0.0.1", 0, metrics, lambda: True) as address:
        assert samples(get(f"{address}/metrics")[1])["tidegate_maintenance s"] == 2


def test_health_is_the_loops() -> None:
    turning = [True]
    with exporting("127.0.0.1", 0, WatchMetrics(), lambda: turning[0]) as address:
        assert get(f"{address}/healthz") == (200, '{"turning": true}')
        turning[0] = False
        assert get(f"{address}/healthz") == (503, '{"turning": false}')
        assert get(f"{address}/other")[0] == 404


def test_a_taken_port_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(ServiceError, match=rf"cannot show its metrics on 127.0.0.1:{port}.*watch\.port"),
            exporting("127.0.0.1", port, WatchMetrics(), lambda: True),
        ):
            pass


def test_a_client_that_leaves_early_disturbs_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    metrics = WatchMetrics()
    metrics.shown.replace(
        "a",
        [Sample("tidegate_drift_effect", (("strategy", "s"), ("feature", "f" * 90 + str(n))), n) for n in range(6_000)],
    )
    with exporting("127.0.0.1", 0, metrics, lambda: True) as address:
        port = int(address.rpartition(":")[2])
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", port)) as near:
                near.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
                near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        assert get(f"{address}/metrics")[0] == 200
    assert capsys.readouterr().err == ""


def test_silent_connections_leave_a_bounded_number_of_threads_and_room_when_they_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(exporter._Handler, "timeout", 60.0)
    with exporting("127.0.0.1", 0, WatchMetrics(), lambda: True) as address, contextlib.ExitStack() as silent:
        near = ("127.0.0.1", int(address.rpartition(":")[2]))
        for _ in range(exporter.MOST_CONNECTIONS):
            silent.enter_context(socket.create_connection(near))
        with socket.create_connection(near) as one_more, contextlib.suppress(ConnectionResetError):
            one_more.settimeout(20)
            assert one_more.recv(1) == b"", "closed without an answer"
        silent.close()
        for _ in range(200):
            with contextlib.suppress(OSError):
                assert get(f"{address}/healthz")[0] == 200
                break
            time.sleep(0.02)
        else:
            pytest.fail("no room came back")


def test_a_client_that_drips_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporter, "WHOLE_S", 0.2)
    with exporting("127.0.0.1", 0, WatchMetrics(), lambda: True) as address:
        with socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2]))) as dripping:
            dripping.settimeout(0.05)
            for _ in range(400):
                try:
                    dripping.sendall(b"X")
                    gone = dripping.recv(1) == b""
                except TimeoutError:
                    continue
                except OSError:
                    gone = True
                break
            else:
                gone = False
        assert gone
        assert get(f"{address}/healthz")[0] == 200
