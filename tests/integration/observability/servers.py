"""Prometheus, Alertmanager and a receiver of their webhooks, each on a free port and in a folder of its own.

The project's own files are used. What makes them quick for a test is changed on the way, and nothing else: intervals, `for`, waits, addresses, and the
hours of work. Expressions, labels, routes and inhibition stay as they are.
"""

import contextlib
import json
import re
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

from tests.integration.observability.programs import ALERTMANAGER, PROMETHEUS, copied, program
from tests.servers import free_port

FOR_S: Final = 2
"""Seconds of every `for` of an alert in a test."""


@dataclass(frozen=True)
class Told:
    """One call of a webhook. `receiver` is its address's path."""

    receiver: str
    status: str
    alerts: tuple[dict[str, Any], ...]
    authorization: str

    def names(self, status: str = "firing") -> set[str]:
        return {one["labels"]["alertname"] for one in self.alerts if one["status"] == status}


@dataclass
class Receiver:
    """Where webhooks arrive."""

    address: str
    calls: list[Told] = field(default_factory=list)

    def of(self, receiver: str, name: str, status: str = "firing") -> list[Told]:
        """Calls of a receiver that name an alert with a status."""
        return [call for call in list(self.calls) if call.receiver == receiver and name in call.names(status)]


@contextlib.contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver of webhooks that accepts everything."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            told = Told(
                self.path.strip("/"), body["status"], tuple(body["alerts"]), self.headers.get("Authorization", "")
            )
            receiver.calls.append(told)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver = Receiver(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def until(found: Callable[[], Any], what: str, timeout_s: float = 30.0) -> Any:  # noqa: ANN401  whatever was found
    """Wait until something is found."""
    deadline = time.monotonic() + timeout_s
    while not (seen := found()):
        assert time.monotonic() < deadline, f"{what} did not come within {timeout_s} s"
        time.sleep(0.1)
    return seen


def get(url: str) -> Any:  # noqa: ANN401  any JSON
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)


@dataclass(frozen=True)
class Prometheus:
    """A Prometheus that runs."""

    address: str

    def ask(self, expression: str) -> list[dict[str, Any]]:
        """The samples of an expression now; an expression that Prometheus refuses raises."""
        answer = get(f"{self.address}/api/v1/query?{urllib.parse.urlencode({'query': expression})}")
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found

    def firing(self) -> set[str]:
        return {one["metric"]["alertname"] for one in self.ask('ALERTS{alertstate="firing"}')}


@contextlib.contextmanager
def _running(command: list[str], folder: Path, ready: str) -> Iterator[None]:
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=subprocess.STDOUT)
        try:

            def is_ready() -> bool:
                assert process.poll() is None, log.read_text(errors="replace")[-3000:]
                with contextlib.suppress(OSError), urllib.request.urlopen(ready, timeout=2) as answer:
                    return bool(answer.status == 200)
                return False

            until(is_ready, ready)
            yield
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)


@contextlib.contextmanager
def prometheus(folder: Path, serving: list[str], watch: str, alertmanager: str, key: str) -> Iterator[Prometheus]:
    """A Prometheus with the project's settings and rules.

    Args:
        folder: its own, not there yet.
        serving, watch, alertmanager: host:port of each.
        key: an API key of the serving processes.
    """
    copied(PROMETHEUS, folder)
    (folder / "secrets" / "api-key").write_text(key, encoding="utf-8")
    (folder / "targets" / "serving.yml").write_text(json.dumps([{"targets": serving}]), encoding="utf-8")
    settings = folder / "prometheus.yml"
    text = settings.read_text(encoding="utf-8")
    text = text.replace("127.0.0.1:9093", alertmanager).replace("127.0.0.1:9464", watch)
    text = re.sub(r"(scrape_interval|evaluation_interval|scrape_timeout|refresh_interval): \d+s", r"\1: 1s", text)
    settings.write_text(text, encoding="utf-8")
    for rules in (folder / "rules").glob("*.yml"):
        text = rules.read_text(encoding="utf-8")
        text = re.sub(r"^( +)for: \w+$", rf"\1for: {FOR_S}s", text, flags=re.MULTILINE)
        text = re.sub(r"^( +)interval: \w+$", r"\1interval: 1s", text, flags=re.MULTILINE)
        rules.write_text(text, encoding="utf-8")
    address = f"127.0.0.1:{free_port()}"
    command = [program("prometheus"), f"--config.file={settings}", f"--web.listen-address={address}"]
    command += [f"--storage.tsdb.path={folder / 'data'}", "--rules.alert.resend-delay=1s", "--log.level=warn"]
    with _running(command, folder, f"http://{address}/-/ready"):
        yield Prometheus(f"http://{address}")


@contextlib.contextmanager
def alertmanager(folder: Path, receiver: Receiver, *, escalate_after_s: int = 15) -> Iterator[str]:
    """An Alertmanager with the project's settings, its webhooks to a receiver; yields host:port. Mail is left out."""
    copied(ALERTMANAGER, folder)
    settings = folder / "alertmanager.yml"
    text = settings.read_text(encoding="utf-8").replace("http://127.0.0.1:9095", receiver.address)
    text, mails = re.subn(r"^    email_configs:\n(?:      .*\n)+", "", text, flags=re.MULTILINE)
    assert mails == 1
    text = re.sub(r"group_wait: 15m", f"group_wait: {escalate_after_s}s", text)
    text = re.sub(r"(group_wait): 30s", r"\1: 0s", text)
    text = re.sub(r"(group_interval|repeat_interval): \w+", r"\1: 1s", text)
    text, hours = re.subn(
        r"^      - weekdays: .*\n +times: .*\n +location: UTC\n", "      - {}\n", text, flags=re.MULTILINE
    )
    assert hours == 1
    settings.write_text(text, encoding="utf-8")
    address = f"127.0.0.1:{free_port()}"
    command = [program("prometheus-alertmanager"), f"--config.file={settings}", f"--web.listen-address={address}"]
    command += [f"--storage.path={folder / 'data'}", "--cluster.listen-address=", "--log.level=warn"]
    with _running(command, folder, f"http://{address}/-/ready"):
        yield address
