"""Verification against a process that says what a test tells it to: what counts as following, and what never does."""

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.servers import free_port

from tidegate.errors import NotVerified
from tidegate.model.manifest import GoldenVector
from tidegate.rollback.answers import Asker, Expected
from tidegate.rollback.verification import Followed, Target, Verification, follow_all, verify
from tidegate.settings.operations import Watch
from tidegate.settings.settings import Settings

DIGEST = "a" * 64
BARS = dict.fromkeys(("open", "high", "low", "close", "volume"), (1.0,)) | {"opened_at": (0.0,)}
GOLDEN = tuple(GoldenVector(symbol=name, bars=BARS, features=(), probability=0.25, signal=0) for name in ("A", "B"))
V2 = Expected("s", 2, DIGEST, GOLDEN)
HALTED = Expected("s", None, None)


class Process:
    """A serving process as HTTP shows it."""

    def __init__(self) -> None:
        self.strategies = ["s"]
        self.ready = True
        self.answer: dict[str, Any] = {"version": 2, "bundle_digest": DIGEST, "probability": 0.25, "abstain": None}
        self.answer["target_position"] = 1
        self.follows_after = 0
        self.status = 200
        self.sleep_s = 0.0
        self.seen: list[tuple[str, str, str | None]] = []

    def reply(self, method: str, path: str, key: str | None, body: bytes) -> tuple[int, Any]:
        self.seen.append((method, path, key))
        time.sleep(self.sleep_s)
        if path == "/readyz":
            return (200 if self.ready else 503), {"ready": self.ready}
        if path == "/v1/admin/reload":
            return 200, [{"strategy": name, "production": 1} for name in self.strategies]
        self.follows_after -= 1
        answer = self.answer | ({"version": 3} if self.follows_after >= 0 else {})
        assert json.loads(body)["items"][0]["bars"]["opened_at"] == [0]
        return self.status, {"answers": [answer], "detail": "as told"}


@contextlib.contextmanager
def serving(process: Process) -> Iterator[Target]:
    class Handler(BaseHTTPRequestHandler):
        def _reply(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            status, content = process.reply(self.command, self.path, self.headers.get("authorization"), body)
            text = content.encode() if isinstance(content, str) else json.dumps(content).encode()
            with contextlib.suppress(OSError):
                self.send_response(status)
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

        do_GET = do_POST = _reply  # noqa: N815  the library's names

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield Target("one", f"http://127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
        server.server_close()


def asked(process: Process, expected: Expected, *, seconds: float = 0.4, key: str | None = None) -> Followed:
    with serving(process) as target, contextlib.closing(Asker(key, 0.3)) as asker:
        began = time.monotonic()
        (found,) = follow_all([target], expected, asker, began=began, ends_at=began + seconds)
    return found


def test_it_follows_when_every_golden_window_is_answered_by_the_version() -> None:
    process = Process()
    found = asked(process, V2, key="tg_key")
    assert (found.state, found.detail) == ("followed", "")
    assert found.after_s is not None
    paths = [(method, path) for method, path, _ in process.seen]
    assert paths == [("POST", "/v1/admin/reload"), ("GET", "/readyz"), *[("POST", "/v1/admin/check")] * 2]
    assert {key for _, _, key in process.seen} == {"Bearer tg_key"}


def test_it_is_asked_again_until_it_follows() -> None:
    process = Process()
    process.follows_after = 3
    assert asked(process, V2, seconds=3).state == "followed"
    assert sum(path == "/v1/admin/reload" for _, path, _ in process.seen) == 4


BEHIND = [
    # what it shows, the answer, in the detail
    ("another version", {"version": 3}, "v3 answers"),
    ("no version", {"version": None}, "vNone answers"),
    ("the version with another bundle", {"bundle_digest": "b" * 64}, "another bundle"),
    ("a probability that is off", {"probability": 0.2500011}, "golden window 0"),
    ("no probability", {"probability": None}, "golden window 0"),
    ("NaN", {"probability": float("nan")}, "golden window 0"),
    ("a text", {"probability": "0.25"}, "golden window 0"),
    ("halted", {"version": None, "abstain": {"reason": "halted"}}, "answers as halted"),
]


@pytest.mark.parametrize(("changes", "told"), [row[1:] for row in BEHIND], ids=[row[0] for row in BEHIND])
def test_what_is_not_following(changes: dict[str, Any], told: str) -> None:
    process = Process()
    process.answer |= changes
    found = asked(process, V2)
    assert (found.state, found.after_s) == ("behind", None)
    assert told in found.detail


def test_processors_may_differ_in_the_last_bits() -> None:
    process = Process()
    process.answer["probability"] = 0.2500005
    assert asked(process, V2).state == "followed"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"ready": False}, "not ready"),
        ({"status": 503}, "status 503: as told"),
        ({"sleep_s": 5.0}, "no answer within"),
        ({"strategies": []}, "does not say what it serves"),
    ],
    ids=["not ready", "refuses", "hangs", "serves nothing"],
)
def test_a_process_in_trouble_is_named(changes: dict[str, Any], told: str) -> None:
    process = Process()
    for name, value in changes.items():
        setattr(process, name, value)
    found = asked(process, V2)
    assert found.state == "behind"
    assert told in found.detail


def test_nothing_to_ask_is_not_following() -> None:
    assert asked(Process(), Expected("s", 2, DIGEST)).state == "behind"


def test_a_process_of_another_strategy_is_left_out() -> None:
    process = Process()
    process.strategies = ["other"]
    assert asked(process, V2).state == "other"


HALT = [
    ("halted and flat", {"abstain": {"reason": "halted"}, "target_position": 0}, "followed"),
    ("halted, but a position", {"abstain": {"reason": "halted"}, "target_position": 1}, "behind"),
    ("abstains for something else", {"abstain": {"reason": "stale_data"}, "target_position": 0}, "behind"),
    ("answers", {}, "behind"),
]


@pytest.mark.parametrize(("changes", "state"), [row[1:] for row in HALT], ids=[row[0] for row in HALT])
def test_a_halt(changes: dict[str, Any], state: str) -> None:
    process = Process()
    process.answer |= changes
    assert asked(process, HALTED).state == state


def test_a_slow_or_dead_process_does_not_hold_up_the_others() -> None:
    slow = Process()
    slow.sleep_s = 9.0
    with serving(slow) as first, serving(Process()) as second, contextlib.closing(Asker(None, 0.3)) as asker:
        targets = [Target("slow", first.address), Target("fast", second.address)]
        targets += [Target("dead", f"http://127.0.0.1:{free_port()}"), Target("odd", "ftp://x")]
        targets += [Target("gone", f"http://127.0.0.1:{free_port()}", is_silent=True)]
        targets += [Target("cut off", second.address, is_silent=True)]
        began = time.monotonic()
        found = follow_all(targets, V2, asker, began=began, ends_at=began + 0.7)
    assert {one.instance: one.state for one in found} == {
        "slow": "behind",
        "fast": "followed",
        "dead": "behind",
        "odd": "behind",
        "gone": "silent",
        "cut off": "followed",
    }


VERDICTS = [
    ("all follow", ["followed", "followed"], "", "verified"),
    ("one is behind", ["followed", "behind"], "", "not_verified"),
    ("one is silent", ["followed", "silent"], "", "verified"),
    ("only silent ones", ["silent"], "", "no_instances"),
    ("only of other strategies", ["other"], "", "no_instances"),
    ("nobody", [], "", "no_instances"),
    ("nobody could be asked", [], "MLflow is away", "not_verified"),
]


@pytest.mark.parametrize(("states", "fault", "verdict"), [row[1:] for row in VERDICTS], ids=[row[0] for row in VERDICTS])  # fmt: skip
def test_the_verdict(states: list[Any], fault: str, verdict: str) -> None:
    instances = tuple(Followed(f"i{at}", "", state, None, "") for at, state in enumerate(states))
    found = Verification("s", 2, DIGEST, 1, 0.1, instances, fault)
    assert found.verdict == verdict
    assert found.content()["verdict"] == verdict
    assert found.summary()
    with pytest.raises(NotVerified) if verdict == "not_verified" else contextlib.nullcontext():
        found.require()


def test_a_key_that_cannot_be_read_is_told_with_the_next_step(tmp_path: Path) -> None:
    settings = Settings(watch=Watch(api_key_file=tmp_path / "none", instances=("http://127.0.0.1:9",)))
    found = verify(settings, "s", 2, DIGEST)
    assert found.verdict == "not_verified"
    assert "none cannot be read; let this process read the file" in found.fault
