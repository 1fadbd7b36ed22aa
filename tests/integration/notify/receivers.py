"""Real receivers of notifications on the loopback address: a web server, a mail server, and an authority that certifies them."""

import base64
import datetime as dt
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Post:
    """One request that the web server got."""

    path: str
    headers: Mapping[str, str]
    body: bytes


Answer = Callable[[BaseHTTPRequestHandler], None]


def status(code: int, body: bytes = b"", **headers: str) -> Answer:
    """An answer that is whole."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def hang(handler: BaseHTTPRequestHandler) -> None:
    """No answer for two seconds."""
    del handler
    time.sleep(2)


def drip(handler: BaseHTTPRequestHandler) -> None:
    """An answer that never ends, and never pauses for long."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    for number in range(40):
        handler.wfile.write(b"X-Header-%d: x\r\n" % number)
        handler.wfile.flush()
        time.sleep(0.05)


class _QuietWeb(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """A handshake that the client refuses is what a test wants."""


class _QuietMail(ThreadingTCPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """As above."""


@dataclass
class WebReceiver:
    """A web server that answers as it is told: one answer a request, the last one for ever."""

    url: str
    answers: list[Answer]
    posts: list[Post] = field(default_factory=list)


@contextmanager
def web_receiver(*answers: Answer, tls: ssl.SSLContext | None = None) -> Iterator[WebReceiver]:
    """A web server that runs; 204 where no answers are given."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.posts.append(Post(self.path, dict(self.headers), body))
            answer = receiver.answers.pop(0) if len(receiver.answers) > 1 else receiver.answers[0]
            try:
                answer(self)
            except OSError:
                self.close_connection = True  # the client has given up

        def log_message(self, *_: object) -> None:
            pass

    server = _QuietWeb(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    scheme = "http" if tls is None else "https"
    receiver = WebReceiver(f"{scheme}://127.0.0.1:{server.server_address[1]}/hook", list(answers) or [status(204)])
    with _running(server):
        yield receiver


@dataclass
class MailReceiver:
    """A mail server.

    Attributes:
        port: where it listens.
        replies: what it says to a command instead of agreeing, by the command's first word: one reply a time.
        commands: what it was told, AUTH without its secret.
        mails: what it took: sender, receiver, text.
        logins: user names and passwords that it was given.
        encrypted: for each mail, whether it came encrypted.
    """

    port: int = 0
    replies: dict[str, list[bytes]] = field(default_factory=dict)
    commands: list[str] = field(default_factory=list)
    mails: list[tuple[str, str, bytes]] = field(default_factory=list)
    logins: list[bytes] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)


@contextmanager
def mail_receiver(
    replies: Mapping[str, list[bytes]] | None = None,
    *,
    starttls: ssl.SSLContext | None = None,
    tls: ssl.SSLContext | None = None,
) -> Iterator[MailReceiver]:
    """A mail server that runs; with `starttls` it offers that, with `tls` it is encrypted from the first byte."""
    receiver = MailReceiver(replies=dict(replies or {}))

    class Handler(StreamRequestHandler):
        def handle(self) -> None:
            conversation = Conversation(self, receiver, starttls, encrypted=tls is not None)
            with suppress(OSError):
                conversation.run()
            conversation.end()

    server = _QuietMail(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    receiver.port = server.server_address[1]
    with _running(server):
        yield receiver


class Conversation:
    """One client of the mail server."""

    def __init__(
        self, handler: StreamRequestHandler, receiver: MailReceiver, starttls: ssl.SSLContext | None, *, encrypted: bool
    ) -> None:
        self._socket = handler.connection
        self._reading, self._receiver, self._starttls = handler.rfile, receiver, starttls
        self._encrypted = encrypted
        self._sender = self._to = ""

    def run(self) -> None:
        self._say(self._instead("CONNECT") or b"220 ready")
        while line := self._reading.readline():
            words = line.decode().strip()
            name = words.split(maxsplit=1)[0].upper() if words else ""
            self._receiver.commands.append("AUTH" if name == "AUTH" else words)
            reply = self._instead(name) or self._obey(name, words)
            self._say(reply)
            if name == "QUIT":
                return
            if name == "STARTTLS" and reply.startswith(b"220"):
                assert self._starttls is not None
                self._socket = self._starttls.wrap_socket(self._socket, server_side=True)
                self._reading, self._encrypted = self._socket.makefile("rb"), True

    def end(self) -> None:
        self._reading.close()
        self._socket.close()

    def _obey(self, name: str, words: str) -> bytes:
        match name:
            case "EHLO":
                offered = [b"250-here", b"250-AUTH PLAIN"]
                offered += [b"250-STARTTLS"] if self._starttls is not None and not self._encrypted else []
                return b"\r\n".join([*offered, b"250 SIZE 1000000"])
            case "STARTTLS":
                return b"220 go on"
            case "AUTH":
                self._receiver.logins.append(base64.b64decode(words.split()[2]))
                return b"235 welcome"
            case "MAIL":
                self._sender = words.partition("<")[2].partition(">")[0]
            case "RCPT":
                self._to = words.partition("<")[2].partition(">")[0]
            case "DATA":
                return self._take()
            case "QUIT":
                return b"221 bye"
        return b"250 ok"

    def _take(self) -> bytes:
        self._say(b"354 go on")
        lines = []
        while (line := self._reading.readline()) not in {b".\r\n", b""}:
            lines.append(line.removeprefix(b"."))
        refused = self._instead("TEXT")
        if refused is None:
            self._receiver.mails.append((self._sender, self._to, b"".join(lines)))
            self._receiver.encrypted.append(self._encrypted)
        return refused or b"250 2.0.0 queued as 4F2A"

    def _instead(self, name: str) -> bytes | None:
        waiting = self._receiver.replies.get(name)
        return waiting.pop(0) if waiting else None

    def _say(self, reply: bytes) -> None:
        if reply == b"HANG":
            time.sleep(2)
        elif reply == b"DRIP":
            for _ in range(40):
                self._socket.sendall(b"2")
                time.sleep(0.05)
        else:
            self._socket.sendall(reply + b"\r\n")


@contextmanager
def _running(server: ThreadingTCPServer | ThreadingHTTPServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass(frozen=True)
class Authority:
    """A certificate authority made for one test run. `file` is its own certificate; `server` is for 127.0.0.1."""

    file: Path
    server: ssl.SSLContext


def make_authority(folder: Path) -> Authority:
    """An authority and a server's certificate by it."""
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority of a test")])
    now = dt.datetime.now(dt.UTC)
    day = dt.timedelta(days=1)

    def builder(subject: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        made = x509.CertificateBuilder().subject_name(subject).issuer_name(name).public_key(public)
        return made.serial_number(x509.random_serial_number()).not_valid_before(now - day).not_valid_after(now + day)

    authority = (
        builder(name, authority_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "server of a test")])
    certificate = (
        builder(subject, key.public_key())
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    folder.mkdir(parents=True, exist_ok=True)
    file, chain = folder / "authority.pem", folder / "server.pem"
    file.write_bytes(authority.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    chain.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    return Authority(file, context)
