"""Notifications as plain-text mail to one receiver."""

import contextlib
import email.policy
import re
import smtplib
import socket
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from typing import Final

from tidegate.errors import ConfigurationError
from tidegate.keys.files import read_private
from tidegate.notify.channel import Proof, TryFailed, limited
from tidegate.notify.notification import Notification
from tidegate.settings.operations import Notify

_MOST_REPLY: Final = 300
_READY, _TAKEN, _WILL_FORWARD = 220, 250, 251
_PASSWORD_SETTING: Final = "notify.smtp_password_file"  # noqa: S105  a setting's name
_ADDRESS: Final = re.compile(r"[^\s@<>(),;:\"]+@[^\s@<>(),;:\"]+")
_FIRST_TEMPORARY, _FIRST_FINAL = 400, 500


@dataclass(frozen=True, slots=True)
class Mail:
    """Mail to one receiver; several get one each, so that each has its own proof.

    With `starttls` a server that does not offer it gets nothing, and a certificate that is not trusted ends the try. A user name and its password are
    never sent unencrypted.

    Args:
        receiver: address.
        notify: server, security, sender.
    """

    receiver: str
    notify: Notify

    @property
    def name(self) -> str:
        """`mail:receiver`."""
        return f"mail:{self.receiver}"

    def deliver(self, notification: Notification) -> Proof:
        """Hand it to the mail server once; its reply after the text is the proof that it has taken it over.

        Raises:
            TryFailed: the server did not take it, or its reply was lost.
        """
        message = mail_message(notification, self.notify.mail_from, self.receiver)
        smtp = smtplib.SMTP(timeout=self.notify.timeout_s, local_hostname=socket.gethostname())
        try:
            with limited(self.notify.timeout_s, lambda: smtp.sock):
                reply = self._hand_over(smtp, message)
        except ssl.SSLCertVerificationError as error:
            raise TryFailed(f"its certificate is not trusted: {error.verify_message}", temporary=False) from error
        except smtplib.SMTPResponseException as error:
            temporary = _FIRST_TEMPORARY <= error.smtp_code < _FIRST_FINAL
            raise TryFailed(f"SMTP {error.smtp_code} {_text(error.smtp_error)}", temporary=temporary) from error
        except smtplib.SMTPServerDisconnected as error:
            raise TryFailed(f"no answer: {error}", temporary=True) from error
        except smtplib.SMTPException as error:
            raise TryFailed(f"the mail server cannot be used: {error}", temporary=False) from error
        except OSError as error:
            raise TryFailed(f"no answer: {type(error).__name__} {error}", temporary=True) from error
        finally:
            smtp.close()
        return {"code": _TAKEN, "reply": reply, "message_id": message["Message-ID"]}

    def _hand_over(self, smtp: smtplib.SMTP, message: EmailMessage) -> str:
        own = self.notify
        host = str(own.smtp_host)
        # Connected here and not by smtplib, so that a watch over the time can cut the connection before the first reply too.
        smtp.sock = socket.create_connection((host, own.smtp_port), own.timeout_s)
        if own.smtp_security == "tls":
            smtp.sock = ssl.create_default_context().wrap_socket(smtp.sock, server_hostname=host)
        _require(smtp.getreply(), _READY)
        smtp.ehlo_or_helo_if_needed()
        if own.smtp_security == "starttls":
            _encrypt(smtp, host)
            smtp.ehlo_or_helo_if_needed()
        if own.smtp_username is not None:
            smtp.login(own.smtp_username, self._password())
        _require(smtp.mail(_bare(own.mail_from)), _TAKEN)
        _require(smtp.rcpt(_bare(self.receiver)), _TAKEN, _WILL_FORWARD)
        reply = _require(smtp.data(message.as_bytes()), _TAKEN)
        with contextlib.suppress(OSError, smtplib.SMTPException):
            smtp.quit()  # it has the mail; what becomes of the farewell changes nothing
        return reply

    def _password(self) -> str:
        if self.notify.smtp_security == "none":
            raise TryFailed("a password is not sent unencrypted: see notify.smtp_security", temporary=False)
        if self.notify.smtp_password_file is None:
            raise TryFailed(f"{_PASSWORD_SETTING} is empty", temporary=False)
        try:
            return read_private(self.notify.smtp_password_file, _PASSWORD_SETTING).decode().strip()
        except (ConfigurationError, UnicodeDecodeError) as error:
            raise TryFailed(str(error), temporary=False) from error


def _encrypt(smtp: smtplib.SMTP, host: str) -> None:
    """Go on encrypted; what the server said before is forgotten, since anybody could have put it there.

    Raises:
        SMTPException: the server does not offer it.
    """
    if not smtp.has_extn("starttls"):
        raise smtplib.SMTPNotSupportedError("it does not offer STARTTLS")
    _require(smtp.docmd("STARTTLS"), _READY)
    assert smtp.sock is not None
    smtp.sock = ssl.create_default_context().wrap_socket(smtp.sock, server_hostname=host)
    smtp.file = None
    smtp.helo_resp = smtp.ehlo_resp = None
    smtp.esmtp_features, smtp.does_esmtp = {}, False


def _require(answer: tuple[int, bytes], *codes: int) -> str:
    """A reply's text.

    Raises:
        SMTPResponseException: it has another code.
    """
    code, text = answer
    if code not in codes:
        raise smtplib.SMTPResponseException(code, text)
    return _text(text)


def mail_message(notification: Notification, sender: str, receiver: str) -> EmailMessage:
    """The mail, with the same Message-ID at every try, by which mailboxes tell a second copy.

    Raises:
        TryFailed: an address cannot stand in a header.
    """
    about = f" {notification.strategy}:" if notification.strategy else ""
    message = EmailMessage(policy=email.policy.SMTP.clone(cte_type="7bit"))
    domain = _bare(sender).rpartition("@")[2]
    _bare(receiver)
    at = datetime.fromtimestamp(notification.created_at / 1000, UTC)
    try:
        message["From"] = sender
        message["To"] = receiver
        message["Subject"] = f"[tidegate] {notification.severity.upper()}{about} {notification.title}"
        message["Date"] = format_datetime(at)
        message["Message-ID"] = f"<{notification.id}@{domain}>"
        message["Auto-Submitted"] = "auto-generated"
        message["X-Tidegate-Id"] = notification.id
    except ValueError as error:
        raise TryFailed(f"notify.mail_from or notify.mail_to: {error}", temporary=False) from error
    ending = f"severity: {notification.severity}\nsubject: {notification.subject}\nat: {at:%Y-%m-%d %H:%M:%S} UTC\nid: {notification.id}"
    message.set_content(f"{notification.body}\n\n-- \n{ending}\n")
    return message


def _bare(address: str) -> str:
    """`name@host` of an address that may have a person's name before it.

    Raises:
        TryFailed: it is none, or several.
    """
    bare = parseaddr(address)[1]
    if not (address.isprintable() and address.isascii() and "," not in address and _ADDRESS.fullmatch(bare)):
        raise TryFailed(f"notify.mail_from or notify.mail_to: {address!r} is not an address", temporary=False)
    return bare


def _text(reply: bytes | str) -> str:
    text = reply.decode("utf-8", "replace") if isinstance(reply, bytes) else reply
    return " ".join(text.split())[:_MOST_REPLY]
