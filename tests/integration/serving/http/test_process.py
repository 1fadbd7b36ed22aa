"""The process as a whole: TLS, keys that change, the stop that loses nothing, and what its logs tell."""

import concurrent.futures
import datetime as dt
import json
import os
import signal
import ssl
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.integration.serving.http.running import ROOT, Connection, Running, ask, request, serving
from tests.servers import free_port
from tests.unit.serving.http.calling import key_file

from tidegate.keys.api_keys import ApiKeys, new_key


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for localhost that signs itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "cert.pem", folder / "key.pem"


def check(folder: Path, **settings: object) -> int:
    """The exit code of the container's HEALTHCHECK."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("TIDEGATE_")},
        **{f"TIDEGATE_SERVING__{name.upper()}": str(value) for name, value in settings.items()},
        "TIDEGATE_ROOT": str(folder),
    }
    command = [sys.executable, "-m", "tidegate.serving", "--check"]
    return subprocess.run(command, cwd=ROOT, env=environment, timeout=30, check=False).returncode


def test_tls_and_the_health_check(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path / "tls")
    port = free_port()
    settings = {"port": port, "tls_certificate_file": cert, "tls_key_file": key, "body_timeout_s": 0.5}
    trusted = ssl.create_default_context(cafile=str(cert))
    with serving(tmp_path, **settings) as running:
        assert running.url == f"https://127.0.0.1:{port}"
        with Connection(port, tls=trusted) as connection:
            answer = connection.ask("POST", "/v1/predict", b"{}")
            assert answer.status == 200
            assert answer.headers["strict-transport-security"] == "max-age=31536000"
            assert connection.ask("GET", "/readyz").json()["ready"] is True
        with pytest.raises(ssl.SSLCertVerificationError):
            Connection(port, tls=ssl.create_default_context())
        old = ssl.create_default_context(cafile=str(cert))
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        with Connection(port, tls=old) as connection:
            assert connection.ask("GET", "/healthz").status == 200
        with Connection(port) as silent:
            assert silent.is_closed(), "a handshake that does not come ends the connection"
        assert check(tmp_path, **settings) == 0
        assert running.stop() == 0
    assert check(tmp_path, **settings) == 1


def test_the_health_check_without_tls(tmp_path: Path) -> None:
    port = free_port()
    with serving(tmp_path, port=port, host="0.0.0.0") as running:  # noqa: S104  as the container does
        assert running.url == f"http://0.0.0.0:{port}"
        assert check(tmp_path, port=port, host="0.0.0.0") == 0  # noqa: S104
    assert check(tmp_path, port=port) == 1
    assert check(tmp_path, port=0) == 1


def test_a_stop_answers_what_is_under_way_and_what_comes_on_open_connections(tmp_path: Path) -> None:
    with (
        serving(tmp_path, rate_limit_rps=1e6) as running,
        Connection(running.port) as slow,
        Connection(running.port) as idle,
    ):
        assert idle.ask("POST", "/v1/predict", b"{}").status == 200
        slow.send(request("POST", "/v1/predict", b'{"sleep_s": 1.0}'))
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            loads = [pool.submit(load, running) for _ in range(4)]
            time.sleep(0.3)
            running.process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            told = idle.ask("GET", "/readyz")
            assert (told.status, told.json()["reasons"], told.headers["connection"]) == (503, ["stopping"], "close")
            with pytest.raises(ConnectionError):
                Connection(running.port)
            answered = slow.answer()
            assert (answered.status, answered.headers["connection"]) == (200, "close")
            counts = [each.result() for each in loads]
        assert running.process.wait(10) == 0
    assert min(counts) > 0
    lines = [line for line in running.lines if line["route"] == "/v1/predict"]
    assert len(lines) == sum(counts) + 2, "every answer has its line, to the last"
    assert {line["status"] for line in lines} == {200}
    messages = [json.loads(line)["message"] for line in running.stderr().splitlines()]
    assert messages == [f"listening on {running.url}", "stopping", "stopped"]


def load(running: Running) -> int:
    """Ask until the server says that it ends the connection; any other end is an error."""
    with Connection(running.port) as connection:
        answered = 0
        while True:
            answer = connection.ask("POST", "/v1/predict", b"{}")
            assert answer.status == 200
            answered += 1
            if answer.headers.get("connection") == "close":
                return answered


def test_a_stop_gives_up_what_takes_too_long(tmp_path: Path) -> None:
    with serving(tmp_path, drain_s=0.5) as running, Connection(running.port) as connection:
        connection.send(request("POST", "/v1/predict", b'{"sleep_s": 30}'))
        time.sleep(0.2)
        began = time.monotonic()
        assert running.stop() == 0
        assert time.monotonic() - began < 10
        assert connection.is_closed()
    assert "1 requests were given up" in running.stderr()


def test_keys_are_changed_under_a_running_service(tmp_path: Path) -> None:
    path, texts = key_file(tmp_path, old=["predict"])
    with serving(tmp_path, api_keys_file=path) as running:
        assert ask(running, "POST", "/v1/predict", b"{}", x_api_key=texts["old"]).status == 200
        text, key = new_key("new", ["predict"], created_at=0)
        ApiKeys([key]).write(path)
        deadline = time.monotonic() + 10
        while ask(running, "POST", "/v1/predict", b"{}", x_api_key=text).status != 200:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert ask(running, "POST", "/v1/predict", b"{}", x_api_key=texts["old"]).status == 401
        assert running.stop() == 0
    said = running.stderr() + json.dumps(running.lines)
    assert text not in said
    assert texts["old"] not in said
    assert {line["key"] for line in running.lines} == {"old", "new", "-"}


def test_a_failure_is_told_by_its_id_on_standard_error_only(tmp_path: Path) -> None:
    with serving(tmp_path) as running:
        answer = ask(running, "POST", "/v1/predict", b'{"fail": 1}', x_request_id="r-9")
        assert answer.status == 500
        assert b"secret" not in answer.body
        assert running.stop() == 0
    (record,) = [json.loads(line) for line in running.stderr().splitlines() if "r-9" in line]
    assert record["level"] == "error"
    assert "RuntimeError" in record["traceback"]
    assert [line["status"] for line in running.lines] == [500]


def start_alone(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Start the service as the container does, and wait for its end."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TIDEGATE_")}
    given = {"TIDEGATE_ROOT": str(folder), "TIDEGATE_SERVING__STRATEGIES": "x", **environment}
    command = [sys.executable, "-m", "tidegate.serving"]
    return subprocess.run(
        command, cwd=folder, env={**kept, **given}, capture_output=True, text=True, timeout=60, check=False
    )


def test_production_without_keys_does_not_start(tmp_path: Path) -> None:
    done = start_alone(tmp_path, TIDEGATE_ENVIRONMENT="production", TIDEGATE_SERVING__PORT="0")
    assert done.returncode == 2
    told = json.loads(done.stderr)
    assert "serving.api_keys_file" in told["message"]
    assert "traceback" not in told


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with serving(tmp_path / "one") as running:
        done = start_alone(tmp_path, TIDEGATE_SERVING__PORT=str(running.port))
    assert done.returncode == 7
    assert "cannot be listened on" in done.stderr
