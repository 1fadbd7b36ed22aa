"""`tidegate notify` against real receivers: what it shows and its exit codes."""

import json
from pathlib import Path

import pytest
from tests.integration.notify.receivers import mail_receiver, status, web_receiver
from tests.unit.cli.run import CommandLine

from tidegate.notify.notifier import Notifier
from tidegate.registry.events import EventLedger
from tidegate.settings.loading import load_settings


@pytest.fixture
def tidegate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    monkeypatch.setenv("TIDEGATE_ROOT", str(tmp_path))
    monkeypatch.setenv("TIDEGATE_PATHS__DATA", str(tmp_path / "data"))
    monkeypatch.setenv("TIDEGATE_NOTIFY__ATTEMPTS", "1")
    return CommandLine(monkeypatch, capsys)


def test_nobody_to_tell_is_a_wrong_setting(tidegate: CommandLine) -> None:
    told = tidegate("notify", "test")
    assert told.code == 2
    assert "notify.webhook_urls" in told.err


def test_a_test_shows_each_receivers_proof(tidegate: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    with web_receiver(status(202, b"taken")) as web, mail_receiver() as mail:
        monkeypatch.setenv("TIDEGATE_NOTIFY__WEBHOOK_URLS", web.url)
        monkeypatch.setenv("TIDEGATE_NOTIFY__SMTP_HOST", "127.0.0.1")
        monkeypatch.setenv("TIDEGATE_NOTIFY__SMTP_PORT", str(mail.port))
        monkeypatch.setenv("TIDEGATE_NOTIFY__SMTP_SECURITY", "none")
        monkeypatch.setenv("TIDEGATE_NOTIFY__MAIL_TO", "a@x.example")
        told = tidegate("notify", "test", "--json")
        shown = tidegate("notify", "test")
    assert (told.code, shown.code) == (0, 0)
    by_web, by_mail = json.loads(told.out)
    assert by_web["proof"]["status"] == 202
    assert (by_mail["channel"], by_mail["proof"]["reply"]) == ("mail:a@x.example", "2.0.0 queued as 4F2A")
    assert "taken" in shown.out
    assert "4F2A" in shown.out
    assert (len(web.posts), len(mail.mails)) == (2, 2)


def test_a_receiver_that_fails_gives_exit_code_7(tidegate: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    with web_receiver() as well, web_receiver(status(500)) as ill:
        monkeypatch.setenv("TIDEGATE_NOTIFY__WEBHOOK_URLS", f"{well.url},{ill.url}")
        shown, told = tidegate("notify", "test"), tidegate("notify", "test", "--json")
    assert (shown.code, told.code) == (7, 7)
    assert "delivery_failed" in shown.err
    assert "HTTP 500" in shown.err
    assert [each["reason"] for each in json.loads(told.out)] == [None, "HTTP 500"]


def test_what_is_undelivered_is_shown_and_tried_again(tidegate: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    with web_receiver(status(503), status(503), status(204)) as receiver:
        monkeypatch.setenv("TIDEGATE_NOTIFY__WEBHOOK_URLS", receiver.url)
        settings = load_settings()
        Notifier(settings, EventLedger.from_settings(settings)).send("critical", "rolled back", "b", strategy="s")
        listed = tidegate("notify", "undelivered", "--json")
        (found,) = json.loads(listed.out)
        assert (listed.code, found["title"], len(found["missing"])) == (0, "rolled back", 1)
        assert "HTTP 503" in tidegate("notify", "undelivered").out
        assert tidegate("notify", "retry").code == 7
        again = tidegate("notify", "retry")
        assert (again.code, again.out.strip()) == (0, "everything was delivered")
        assert json.loads(tidegate("notify", "undelivered", "--json").out) == []
    assert len(receiver.posts) == 3
