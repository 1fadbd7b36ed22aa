"""`tidegate bot check`: each of its lines passes and fails for its own reason, and TLS is checked as it should be."""

import email.utils
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.client.scripted import Act, Asked, Scripted, late, refuse, reply, whole
from tests.integration.serving.http.test_process import certificate
from tests.servers import free_port
from tests.unit.cli.run import CommandLine, Told
from tests.unit.client.records import BEFORE, bars, config, model, served, settings

from tidegate.client import Client
from tidegate.client.checking import Check, check
from tidegate.client.config import Config

NAMES = ["settings", "network", "ready", "key", "model", "interval", "version", "clock", "heartbeat"]


def alive(ahead_s: float = 0.0) -> Act:
    """`/healthz` of a machine whose clock is so far ahead."""
    return reply(200, {"alive": True}, date=email.utils.formatdate(time.time() + ahead_s, usegmt=True))


def checked(service: Scripted, **changes: Any) -> Check:  # noqa: ANN401  settings of many types
    return check(lambda: config(**{"url": service.url, "clock": "system", **changes}))


def failed(found: Check) -> list[str]:
    """The lines that do not pass; each of them says what to do."""
    assert all((one.next_step is None) == one.passed and one.detail for one in found.checked)
    assert found.passed == all(one.passed for one in found.checked)
    return [one.name for one in found.checked if not one.passed]


def test_everything_passes_with_a_sound_service(service: Scripted) -> None:
    service.always("/healthz", alive())
    found = checked(service)
    assert [one.name for one in found.checked] == NAMES
    assert failed(found) == []
    assert len(service.of("/v1/bots/heartbeat")) == 1


CASES: list[tuple[str, str, Act, list[str]]] = [
    ("no 200", "/healthz", reply(404, None), ["network"]),
    ("not ready", "/readyz", reply(503, {"ready": False, "reasons": ["stopping"], "notes": []}), ["ready"]),
    ("no key", "/v1/model", refuse(401, "unauthorised"), ["key"]),
    ("a model route that fails", "/v1/model", refuse(500, "internal"), ["key"]),
    ("a model route that talks nonsense", "/v1/model", reply(200, "nonsense"), ["model"]),
    ("another strategy", "/v1/model", reply(200, [served(strategy="other")]), ["model"]),
    ("halted", "/v1/model", reply(200, [served(halted="by a person")]), ["model"]),
    ("no production", "/v1/model", reply(200, [served(production=None)]), ["model"]),
    ("expired", "/v1/model", reply(200, [served(production=model(expires_at=1))]), ["model"]),
    ("another interval", "/v1/model", reply(200, [served(production=model(interval="5m"))]), ["interval"]),
    ("no date", "/healthz", reply(200, {"alive": True}), ["clock"]),
    ("a date that is none", "/healthz", reply(200, {"alive": True}, date="today"), ["clock"]),
    ("a heartbeat that is refused", "/v1/bots/heartbeat", refuse(403, "forbidden"), ["heartbeat"]),
]


@pytest.mark.parametrize(("path", "act", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_what_is_wrong_fails_its_line(service: Scripted, path: str, act: Act, expected: list[str]) -> None:
    service.always("/healthz", alive())
    service.always(path, act)
    assert failed(checked(service)) == expected


@pytest.mark.parametrize(("ahead_s", "passes"), [(0, True), (1.5, True), (6, False), (-6, False)])
def test_clocks_may_differ_by_so_much(service: Scripted, ahead_s: float, passes: bool) -> None:
    service.always("/healthz", alive(ahead_s))
    assert (failed(checked(service)) == []) == passes
    names = [one.name for one in checked(service, clock="bars").checked]
    assert "clock" not in names, "in a replay nobody's clock counts"


def test_a_slow_look_is_no_skew(service: Scripted) -> None:
    def now(connection: socket.socket, asked: Asked) -> bool:
        return alive()(connection, asked)

    service.always("/healthz", now)
    service.always("/readyz", late(1.2))
    assert failed(checked(service, answers={"max_clock_skew_ms": 0}, health={"poll_ms": 0, "timeout_ms": 5000})) == []


@pytest.mark.parametrize("answers", [{"versions": [6]}, {"bundle_digests": [BEFORE]}])
def test_a_version_that_may_not_answer_fails(service: Scripted, answers: dict[str, Any]) -> None:
    service.always("/healthz", alive())
    assert failed(checked(service, answers=answers)) == ["version"]


def test_nobody_listens_and_settings_are_refused() -> None:
    nobody = check(lambda: config(url=f"http://127.0.0.1:{free_port()}"))
    assert failed(nobody) == ["network"]
    assert [one.name for one in nobody.checked] == ["settings", "network"]
    wrong = check(lambda: Config.of(settings(retry={"attempts": 0})))
    assert failed(wrong) == ["settings"]
    assert "retry.attempts" in wrong.checked[0].detail


@pytest.fixture
def tidegate(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(monkeypatch, capsys)


def run(tidegate: CommandLine, folder: Path, url: str, *options: str) -> Told:
    path = folder / "bot.toml"
    path.write_text(f'url = "{url}"\nstrategy = "sim"\ninterval = "1h"\nbot = "bot-1"\n[paper]\ncapital = 500\n')
    return tidegate("bot", "check", "--config", str(path), *options)


def test_the_command_ends_with_0_or_1(service: Scripted, tidegate: CommandLine, tmp_path: Path) -> None:
    service.always("/healthz", alive())
    told = run(tidegate, tmp_path, service.url)
    assert (told.code, told.err) == (0, "")
    assert "everything passes" in told.out
    service.always("/v1/model", refuse(401, "unauthorised"))
    told = run(tidegate, tmp_path, service.url)
    assert told.code == 1
    assert "FAIL" in told.out
    told = run(tidegate, tmp_path, service.url, "--json")
    assert told.code == 1
    found = json.loads(told.out)
    assert (found["passed"], [one["name"] for one in found["checked"] if not one["passed"]]) == (False, ["key"])


class Secret:
    """A server that speaks TLS with a certificate that signs itself, and answers everything with one sentence."""

    def __init__(self, folder: Path) -> None:
        self.certificate, key = certificate(folder)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, key)
        self._context, self._listener = context, socket.create_server(("127.0.0.1", 0))
        self.url = f"https://localhost:{self._listener.getsockname()[1]}"
        self.asked = 0
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            try:
                with self._context.wrap_socket(plain, server_side=True) as connection:
                    connection.recv(65_536)
                    self.asked += 1
                    connection.sendall(whole(200, b'{"ready": true}', connection="close"))
            except OSError:
                plain.close()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)


@pytest.fixture
def secret(tmp_path: Path) -> Iterator[Secret]:
    server = Secret(tmp_path / "tls")
    yield server
    server.close()


def test_a_certificate_counts_only_where_its_authority_is_named(secret: Secret) -> None:
    patient = {"decide_ms": 5000, "attempt_ms": 3000, "connect_ms": 3000}
    with Client(config(url=secret.url, deadline=patient, retry={"attempts": 1})) as client:
        assert client.poll_now() == "unreachable"
        assert client.decide("SIM/USD", bars()).reason == "unreachable"
    assert secret.asked == 0
    with Client(config(url=secret.url, ca_file=str(secret.certificate), deadline=patient)) as client:
        assert client.poll_now() == "ready"
    assert secret.asked >= 1


def test_a_file_of_authorities_that_holds_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    for path in (tmp_path / "ca.pem", tmp_path / "nothing.pem"):
        found = check(lambda path=path: config(ca_file=str(path)))  # type: ignore[misc]
        assert failed(found) == ["settings"]
        assert "ca_file" in found.checked[0].detail
