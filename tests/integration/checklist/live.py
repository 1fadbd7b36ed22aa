"""What runs in production, small and real: a service with keys, a watch's metrics, a bot, Prometheus and Alertmanager."""

import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from tests.checklist_places import context as context_of
from tests.checklist_places import promoted, settings_of
from tests.integration.observability.servers import Prometheus, alertmanager, prometheus, receiving
from tests.integration.serving.http.real import prepared, whole_window
from tests.integration.serving.http.running import Running, serving
from tests.registry_factories import FakeVersions
from tests.unit.model.small_model import STRATEGY

from tidegate.checklist.context import Context
from tidegate.checklist.service import Service
from tidegate.checklist.web import Web
from tidegate.client.decision import Decision
from tidegate.client.metrics import Metrics as BotMetrics
from tidegate.client.metrics_server import MetricsServer
from tidegate.keys.api_keys import ApiKeys, new_key
from tidegate.watch.exporter import WatchMetrics, exporting
from tidegate.watch.figures import Sample

REAL = ("-m", "tests.integration.serving.http.real")
NAME = "small"
SERVICE_RULES = ("latency", "errors", "crashes", "bots")
LIMIT_RPS = 10_000


@dataclass
class Live:
    """All of it."""

    root: Path
    sound: Running
    key_file: Path
    watch: WatchMetrics
    watch_port: int
    bot: BotMetrics
    bot_url: str
    prometheus: Prometheus
    alertmanager: str

    def context(self, root: Path | None = None, **sections: Any) -> Context:  # noqa: ANN401  sections of settings
        """A context that looks at all of it, with other settings where they are given."""
        own: dict[str, Any] = {
            "checklist": {
                "instances": (self.sound.url,),
                "api_key_file": self.key_file,
                "prometheus_url": self.prometheus.address,
                "bot_metrics_urls": (self.bot_url,),
                "access_log": self.root / "access.log",
            },
            "watch": {"host": "127.0.0.1", "port": self.watch_port},
            "notify": {"alertmanager_url": f"http://{self.alertmanager}"},
        }
        merged = {name: {**own.get(name, {}), **sections.get(name, {})} for name in {*own, *sections}}
        settings = settings_of(self.root, **merged)
        return context_of(
            root or self.root, settings, strategy=STRATEGY, now_ms=time.time_ns() // 1_000_000, versions=FakeVersions()
        )

    def service(self) -> Service:
        """The sound service, asked with the probes' key."""
        return Service(Web(5.0), self.sound.url, self.key_file.read_text(encoding="utf-8"))

    def predict(self) -> None:
        """A prediction that is answered."""
        body = json.dumps({"strategy": NAME, **whole_window()}).encode()
        reply = self.service().ask("/v1/predict", method="POST", body=body)
        assert reply.status == 200, reply.body

    def beat(self, **changes: Any) -> None:  # noqa: ANN401  fields of many types
        """A heartbeat of the bot."""
        said = {
            "bot": "one", "strategy": NAME, "last_version": 1, "last_bundle_digest": None, "breaker": "closed",
            "decisions": {"model": 7}, "dry_run": True, "sent_at": time.time_ns() // 1_000_000,
        } | changes  # fmt: skip
        reply = self.service().ask("/v1/bots/heartbeat", method="POST", body=json.dumps(said).encode())
        assert reply.status == 204, reply.body

    def judged(self, **verdicts: float) -> None:
        """What the watch says of the service rules: 1 fired, 0 quiet, -1 not enough evidence."""
        samples = [
            Sample("tidegate_rule_fired", (("action", "roll_back"), ("rule", rule), ("strategy", NAME)), verdicts.get(rule, 0.0))
            for rule in SERVICE_RULES
        ]  # fmt: skip
        self.watch.shown.replace("rules", samples)


def copy_lines(running: Running, path: Path) -> None:
    """Keep the access log in a file, as an operator would."""

    def write() -> None:
        done = 0
        while running.process.poll() is None:
            lines = running.lines[done:]
            done += len(lines)
            with path.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(line) + "\n" for line in lines)
            time.sleep(0.02)

    path.touch()
    Thread(target=write, daemon=True).start()


@contextlib.contextmanager
def live(folder: Path) -> Iterator[Live]:
    """All of it, with a prediction answered and a heartbeat sent."""
    text, key = new_key("probes", ["predict", "admin", "metrics"], created_at=0)
    keys, key_file = folder / "keys.yaml", folder / "probe-key"
    ApiKeys([key]).write(keys)
    key_file.write_text(text, encoding="utf-8")
    key_file.chmod(0o600)
    bot = BotMetrics(NAME, dry_run=True)
    watch = WatchMetrics()
    with contextlib.ExitStack() as stack:
        chosen = prepared(folder / "sound") | {"api_keys_file": keys, "rate_limit_rps": LIMIT_RPS}
        sound = stack.enter_context(serving(folder / "sound" / "root", *REAL, **chosen))
        watch_address = stack.enter_context(exporting("127.0.0.1", 0, watch, lambda: True))
        watch_port = int(watch_address.rpartition(":")[2].partition("/")[0])
        server = stack.enter_context(contextlib.closing(MetricsServer("127.0.0.1:0", bot.text)))
        alerting = stack.enter_context(alertmanager(folder / "alertmanager", stack.enter_context(receiving())))
        serving_at = [sound.url.removeprefix("http://")]
        watch_at = f"127.0.0.1:{watch_port}"
        asked = stack.enter_context(prometheus(folder / "prometheus", serving_at, watch_at, alerting, text))
        found = Live(
            folder, sound, key_file, watch, watch_port, bot, f"http://127.0.0.1:{server.port}/metrics", asked, alerting
        )
        copy_lines(sound, folder / "access.log")
        found.judged()
        promoted(found.context().settings, 1, name=NAME)
        found.predict()
        found.beat()
        for source in ("model", "fallback"):
            bot.decided(_decision(source))
        bot.requested("/readyz", "answered", 0.001)
        bot.set_health("ready")
        yield found


def _decision(source: str) -> Decision:
    given: dict[str, Any] = dict.fromkeys(Decision.__struct_fields__)
    return Decision(**{**given, "source": source, "elapsed_ms": 3.0})


@contextlib.contextmanager
def answering(status: int, body: bytes, seen: list[str] | None = None, /, **headers: str) -> Iterator[str]:
    """A server that answers everything the same way: a broken service. `seen` gets each request's `Authorization`."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", "0")))
            if seen is not None:
                seen.append(self.headers.get("Authorization", ""))
            self.send_response(status)
            for name, value in {"content-type": "application/json", **headers}.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_OPTIONS = do_DELETE = answer  # noqa: N815  the library's names

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join(5)
        server.server_close()
