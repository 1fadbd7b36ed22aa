"""Webhooks against a real web server: what it gets, and what of its answers counts as taken."""

import hashlib
import hmac
import json
import time
from pathlib import Path

import pytest
from tests.integration.notify.making import notification
from tests.integration.notify.receivers import (
    Answer,
    Authority,
    WebReceiver,
    drip,
    hang,
    make_authority,
    status,
    web_receiver,
)
from tests.servers import free_port

from tidegate.notify.channel import Outcome, TryFailed, deliver, pauses
from tidegate.notify.webhook import Webhook

SECRET = b"shared secret"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_bytes(SECRET + b"\n")
    path.chmod(0o600)
    return path


def by(receiver: WebReceiver, *, timeout_s: float = 5.0) -> Webhook:
    return Webhook(receiver.url, None, timeout_s)


def three_tries(receiver: WebReceiver, *, timeout_s: float = 5.0) -> Outcome:
    return deliver(by(receiver, timeout_s=timeout_s), notification(), pauses_s=pauses(3, 0.01), sleep=time.sleep)


def test_a_signed_json_body_arrives_and_the_answer_is_the_proof(secret_file: Path) -> None:
    with web_receiver(status(202, b"taken", X_Request_ID="r-7")) as receiver:
        url = f"{receiver.url}?token=abc"
        proof = Webhook(url, secret_file, 5.0, now_s=lambda: 1_780_000_000.9).deliver(notification())
    (post,) = receiver.posts
    assert post.path == "/hook?token=abc"
    assert json.loads(post.body) == {
        "id": "0123456789abcdef0123456789abcdef",
        "severity": "critical",
        "title": "rolled back to v3",
        "body": "The Sharpe ratio was 0.2.\n.\nÜber alles.",
        "strategy": "eurusd-sample",
        "subject": "incident/7",
        "created_at": 1_780_000_000_000,
    }
    expected = hmac.new(SECRET, b"1780000000." + post.body, hashlib.sha256).hexdigest()
    assert post.headers["X-Tidegate-Timestamp"] == "1780000000"
    assert post.headers["X-Tidegate-Signature"] == f"v1={expected}"
    assert post.headers["X-Tidegate-Id"] == "0123456789abcdef0123456789abcdef"
    assert post.headers["Content-Type"] == "application/json"
    digest = hashlib.sha256(b"taken").hexdigest()
    assert proof == {"status": 202, "answer_sha256": digest, "answer_bytes": 5, "receiver_id": "r-7"}


def test_without_a_secret_there_is_no_signature() -> None:
    with web_receiver() as receiver:
        by(receiver).deliver(notification())
    assert not {"X-Tidegate-Signature", "X-Tidegate-Timestamp"} & set(receiver.posts[0].headers)


@pytest.mark.parametrize("fault", ["missing", "too open", "empty"])
def test_a_secret_that_cannot_be_used_sends_nothing(tmp_path: Path, fault: str) -> None:
    path = tmp_path / "secret"
    if fault != "missing":
        path.write_bytes(b" \n" if fault == "empty" else SECRET)
        path.chmod(0o644 if fault == "too open" else 0o600)
    with web_receiver() as receiver, pytest.raises(TryFailed, match=r"webhook_secret_file") as raised:
        Webhook(receiver.url, path, 5.0).deliver(notification())
    assert receiver.posts == []
    assert not raised.value.temporary


@pytest.mark.parametrize(
    ("code", "tries"), [(503, 3), (500, 3), (429, 3), (408, 3), (400, 1), (401, 1), (404, 1), (413, 1)]
)
def test_answers_that_are_not_taken_and_how_often_they_are_tried(code: int, tries: int) -> None:
    with web_receiver(status(code)) as receiver:
        outcome = three_tries(receiver)
    assert (outcome.proof, outcome.reason, outcome.tries) == (None, f"HTTP {code}", tries)
    assert len(receiver.posts) == tries


def test_a_receiver_that_fails_twice_gets_the_third_with_the_same_id() -> None:
    with web_receiver(status(503), status(500), status(200)) as receiver:
        outcome = three_tries(receiver)
    assert (outcome.tries, outcome.reason) == (3, None)
    assert outcome.proof is not None
    assert len({post.headers["X-Tidegate-Id"] for post in receiver.posts}) == 1


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(code: int) -> None:
    with web_receiver() as other, web_receiver(status(code, Location=other.url)) as receiver:
        outcome = three_tries(receiver)
    assert (outcome.reason, outcome.tries, other.posts) == (f"HTTP {code}", 1, [])


@pytest.mark.parametrize("answer", [hang, drip])
def test_a_slow_receiver_is_cut_off(answer: Answer) -> None:
    with web_receiver(answer) as receiver:
        began = time.monotonic()
        with pytest.raises(TryFailed, match=r"no answer: TimeoutError") as raised:
            by(receiver, timeout_s=0.3).deliver(notification())
        assert time.monotonic() - began < 1.5
    assert raised.value.temporary


def test_only_the_first_64_kib_of_an_answer_are_read() -> None:
    with web_receiver(status(200, b"x" * 1_000_000)) as receiver:
        proof = by(receiver).deliver(notification())
    assert proof["answer_bytes"] == 65_536


def test_nobody_there() -> None:
    with pytest.raises(TryFailed, match="no answer: ConnectionRefusedError") as raised:
        Webhook(f"http://127.0.0.1:{free_port()}/", None, 2.0).deliver(notification())
    assert raised.value.temporary


def test_a_certificate_that_is_not_trusted_gets_nothing(authority: Authority) -> None:
    with web_receiver(tls=authority.server) as receiver:
        outcome = three_tries(receiver)
    assert (receiver.posts, outcome.tries) == ([], 1)
    assert outcome.reason is not None
    assert "certificate is not trusted" in outcome.reason


def test_a_trusted_one_does(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    with web_receiver(tls=authority.server) as receiver:
        assert by(receiver).deliver(notification())["status"] == 204
    assert len(receiver.posts) == 1


def test_a_certificate_for_another_name_is_not_trusted(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    with web_receiver(tls=authority.server) as receiver, pytest.raises(TryFailed, match="certificate is not trusted"):
        Webhook(receiver.url.replace("127.0.0.1", "localhost"), None, 5.0).deliver(notification())


@pytest.mark.parametrize(
    "url",
    [
        "ftp://host/x",
        "host",
        "http://",
        "http://host:0/",
        "http://host:99999/",
        "http://host/a b",
        "http://host/\r\nX: y",
        "http://[::1",
    ],
)
def test_an_address_that_is_none_fails_for_good(url: str) -> None:
    with pytest.raises(TryFailed, match=r"notify\.webhook_urls") as raised:
        Webhook(url, None, 2.0).deliver(notification())
    assert not raised.value.temporary
    assert Webhook(url, None, 2.0).name.startswith("webhook:")


def test_the_name_shows_the_host_only() -> None:
    hook = Webhook("https://user:pa55@hooks.example/services/T0/secret?token=abc", None, 2.0)
    assert hook.name.startswith("webhook:hooks.example#")
    assert not any(hidden in f"{hook.name} {hook!r}" for hidden in ("pa55", "/T0/", "abc"))
    assert hook.name != Webhook("https://hooks.example/services/T1", None, 2.0).name
