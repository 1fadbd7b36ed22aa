"""Mail against a real mail server: what it takes is proven by its reply, and nothing leaves unencrypted that should not."""

import email
import email.policy
import time
from pathlib import Path

import pytest
from tests.integration.notify.making import notification
from tests.integration.notify.receivers import Authority, MailReceiver, mail_receiver, make_authority
from tests.servers import free_port

from tidegate.notify.channel import Outcome, TryFailed, deliver, pauses
from tidegate.notify.mail import Mail, mail_message
from tidegate.settings.operations import Notify


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def trusted(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Authority:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    return authority


def by(port: int, security: str = "none", **changes: object) -> Mail:
    given = {
        "smtp_host": "127.0.0.1",
        "smtp_port": port,
        "smtp_security": security,
        "mail_from": "Tidegate <tidegate@here.example>",
        "mail_to": ("ops@there.example",),
        "timeout_s": 5.0,
    }
    return Mail("ops@there.example", Notify.model_validate(given | changes))


def three_tries(receiver: MailReceiver) -> Outcome:
    return deliver(by(receiver.port), notification(), pauses_s=pauses(3, 0.01), sleep=time.sleep)


def test_a_mail_is_taken_and_the_reply_is_the_proof() -> None:
    with mail_receiver() as receiver:
        proof = by(receiver.port).deliver(notification())
    assert proof == {
        "code": 250,
        "reply": "2.0.0 queued as 4F2A",
        "message_id": "<0123456789abcdef0123456789abcdef@here.example>",
    }
    ((sender, to, text),) = receiver.mails
    assert (sender, to) == ("tidegate@here.example", "ops@there.example")
    assert text.isascii()
    message = email.message_from_bytes(text, policy=email.policy.SMTP)
    assert message["Subject"] == "[tidegate] CRITICAL eurusd-sample: rolled back to v3"
    assert message["From"] == "Tidegate <tidegate@here.example>"
    assert message["Message-ID"] == proof["message_id"]
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Date"] == "Thu, 28 May 2026 20:26:40 +0000"
    content = message.get_content().replace("\r\n", "\n")
    assert content.startswith("The Sharpe ratio was 0.2.\n.\nÜber alles.\n")
    assert "subject: incident/7\n" in content


def test_with_starttls_the_mail_and_the_password_are_encrypted(trusted: Authority, tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("hunter2\n")
    password.chmod(0o600)
    with mail_receiver(starttls=trusted.server) as receiver:
        login = {"smtp_username": "ops", "smtp_password_file": password}
        by(receiver.port, "starttls", **login).deliver(notification())
    assert receiver.encrypted == [True]
    assert receiver.logins == [b"\0ops\0hunter2"]
    # What the server said before the connection was encrypted is asked anew.
    assert [command.split()[0].upper() for command in receiver.commands][:4] == ["EHLO", "STARTTLS", "EHLO", "AUTH"]


def test_with_tls_all_of_it_is(trusted: Authority) -> None:
    with mail_receiver(tls=trusted.server) as receiver:
        by(receiver.port, "tls").deliver(notification())
    assert receiver.encrypted == [True]


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_certificate_that_is_not_trusted_gets_nothing(authority: Authority, security: str) -> None:
    context = authority.server
    offered = mail_receiver(starttls=context) if security == "starttls" else mail_receiver(tls=context)
    with offered as receiver, pytest.raises(TryFailed, match="certificate is not trusted") as raised:
        by(receiver.port, security).deliver(notification())
    assert receiver.mails == []
    assert not raised.value.temporary


def test_a_server_without_starttls_gets_nothing() -> None:
    with mail_receiver() as receiver, pytest.raises(TryFailed, match="STARTTLS") as raised:
        by(receiver.port, "starttls").deliver(notification())
    assert (receiver.mails, raised.value.temporary) == ([], False)
    assert not any(command.startswith("MAIL") for command in receiver.commands)


def test_a_password_is_not_sent_unencrypted(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("hunter2")
    password.chmod(0o600)
    with mail_receiver() as receiver, pytest.raises(TryFailed, match="not sent unencrypted"):
        by(receiver.port, smtp_username="ops", smtp_password_file=password).deliver(notification())
    assert (receiver.logins, receiver.mails) == ([], [])


def test_a_wrong_password_fails_for_good_and_is_not_told(trusted: Authority, tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("hunter2")
    password.chmod(0o600)
    refused = [b"535 5.7.8 who are you", b"535 5.7.8 who are you"]
    with mail_receiver({"AUTH": refused}, starttls=trusted.server) as receiver, pytest.raises(TryFailed) as raised:
        by(receiver.port, "starttls", smtp_username="ops", smtp_password_file=password).deliver(notification())
    assert raised.value.reason == "SMTP 535 5.7.8 who are you"
    assert not raised.value.temporary


@pytest.mark.parametrize(
    ("at", "reply", "tries"),
    [
        ("CONNECT", b"421 busy", 3),
        ("CONNECT", b"554 not you", 1),
        ("MAIL", b"451 later", 3),
        ("RCPT", b"450 greylisted", 3),
        ("RCPT", b"550 no such user", 1),
        ("DATA", b"451 later", 3),
        ("TEXT", b"452 disk full", 3),
        ("TEXT", b"554 spam", 1),
    ],
)
def test_refusals_and_how_often_they_are_tried(at: str, reply: bytes, tries: int) -> None:
    with mail_receiver({at: [reply] * 3}) as receiver:
        outcome = three_tries(receiver)
    assert (outcome.proof, outcome.tries) == (None, tries)
    assert outcome.reason == f"SMTP {reply.decode()}"
    assert receiver.mails == []


def test_a_greylisted_mail_is_taken_at_the_second_try_with_the_same_message_id() -> None:
    with mail_receiver({"TEXT": [b"451 later"]}) as receiver:
        outcome = three_tries(receiver)
    assert (outcome.tries, len(receiver.mails)) == (2, 1)
    assert outcome.proof is not None


@pytest.mark.parametrize("at", ["CONNECT", "EHLO", "TEXT"])
@pytest.mark.parametrize("how", [b"HANG", b"DRIP"])
def test_a_slow_server_is_cut_off(at: str, how: bytes) -> None:
    with mail_receiver({at: [how]}) as receiver:
        began = time.monotonic()
        with pytest.raises(TryFailed, match="no answer: TimeoutError") as raised:
            by(receiver.port, timeout_s=0.3).deliver(notification())
        assert time.monotonic() - began < 1.5
    assert raised.value.temporary


def test_a_farewell_that_fails_takes_nothing_back() -> None:
    with mail_receiver({"QUIT": [b"421 too late"]}) as receiver:
        assert by(receiver.port).deliver(notification())["code"] == 250
    assert len(receiver.mails) == 1


def test_nobody_there() -> None:
    with pytest.raises(TryFailed, match="no answer: ConnectionRefusedError") as raised:
        by(free_port()).deliver(notification())
    assert raised.value.temporary


@pytest.mark.parametrize("receiver", ["ops", "ops@there.example\r\nBcc: x@y", "öps@there.example", "", "a@b, c@d\n"])
def test_a_receiver_that_is_no_address_fails_for_good(receiver: str) -> None:
    with pytest.raises(TryFailed, match=r"notify\.mail_to") as raised:
        mail_message(notification(), "tidegate@here.example", receiver)
    assert not raised.value.temporary


def test_no_title_adds_a_header() -> None:
    # `Notifier` makes titles one line; should one not be, the mail is refused rather than sent with a header of somebody's making.
    with pytest.raises(TryFailed):
        mail_message(notification(title="x\r\nBcc: x@y.example"), "tidegate@here.example", "ops@there.example")
