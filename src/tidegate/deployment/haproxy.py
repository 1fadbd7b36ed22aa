"""HAProxy's runtime API: the servers of a backend, and how one gets an address, requests, no new requests, or none at all."""

import csv
import ipaddress
import socket
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from io import StringIO
from typing import Final, Literal

from tidegate.errors import ServiceError

SETTING: Final = "deploy.proxy_socket"
State = Literal["ready", "drain", "maint"]
# As `show servers state` has them: operational state RUNNING, and administrative states by who asked for them.
_RUNNING: Final = 2
_MAINTAINED: Final = 0x01 | 0x02 | 0x20
_DRAINED: Final = 0x08 | 0x10
_BYTES: Final = 65_536


@dataclass(frozen=True, slots=True)
class Server:
    """One server of a backend.

    Attributes:
        name: in HAProxy's configuration.
        address: IP address.
        port: where it listens.
        is_running: whether its health checks pass.
        is_free: in maintenance: it gets no requests and no checks.
        is_drained: it gets no new requests.
        under_way: requests that it is answering, or that wait for it.
    """

    name: str
    address: str
    port: int
    is_running: bool
    is_free: bool
    is_drained: bool
    under_way: int


@dataclass(frozen=True, slots=True)
class Backend:
    """A backend of a running HAProxy.

    Attributes:
        at: path of the socket, or `host:port`.
        name: of the backend.
        timeout_s: before an answer is given up.
    """

    at: str
    name: str
    timeout_s: float

    def servers(self) -> dict[str, Server]:
        """Its servers by name, as HAProxy has them now.

        Raises:
            ServiceError: HAProxy does not answer, or knows no such backend.
        """
        told = self._ask(f"show servers state {self.name}")
        figures = {one["svname"]: one for one in _table(self._ask("show stat"), ",") if one["pxname"] == self.name}
        try:
            rows = [one for one in _table(told.partition("\n")[2], " ") if one["srv_name"]]
            found = {one["srv_name"]: _server(one, figures[one["srv_name"]]) for one in rows}
        except (KeyError, ValueError) as error:
            raise self._unknown(told) from error
        if not found:
            raise self._unknown(told)
        return found

    def _unknown(self, told: str) -> ServiceError:
        return ServiceError(
            f"HAProxy at {self.at} does not tell the servers of backend {self.name}: {told.strip()[:200]}",
            setting="deploy.proxy_backend",
            next_step="name a backend of its configuration that has servers",
        )

    def place(self, server: str, address: str, port: int) -> None:
        """Give a server another address. It must be free."""
        self._order(f"set server {self.name}/{server} addr {address} port {port}", ("changed", "no need to change"))

    def set(self, server: str, state: State) -> None:
        """Let a server have requests, no new ones, or none at all."""
        self._order(f"set server {self.name}/{server} state {state}")

    def doubt(self, server: str) -> None:
        """Take a server for down until its checks have passed anew."""
        self._order(f"set server {self.name}/{server} health down")

    def state(self) -> str:
        """The states of all servers, as HAProxy reads them again at its start."""
        return self._ask("show servers state")

    def _order(self, command: str, expected: Iterable[str] = ()) -> None:
        told = self._ask(command).strip()
        if told and not any(word in told for word in expected):
            raise ServiceError(f"HAProxy at {self.at} refused `{command}`: {told[:300]}", setting=SETTING)

    def _ask(self, command: str) -> str:
        try:
            with closing(_connected(self.at, self.timeout_s)) as connection:
                connection.sendall(f"{command}\n".encode())
                told = b""
                while part := connection.recv(_BYTES):
                    told += part
        except (OSError, ValueError) as error:
            raise ServiceError(
                f"HAProxy does not answer at {self.at}: {error}",
                setting=SETTING,
                next_step="see that it runs, and that its configuration has `stats socket ... level admin` there",
            ) from error
        return told.decode(errors="replace")


def address_of(host: str) -> str:
    """A host's IP address, which HAProxy needs.

    Raises:
        ServiceError: the name is not known.
    """
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        return socket.gethostbyname(host)
    except OSError as error:
        raise ServiceError(f"the address of {host} is not known: {error}", setting="deploy.new_instances") from error


def _connected(at: str, timeout_s: float) -> socket.socket:
    if at.startswith("/"):
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(timeout_s)
        try:
            connection.connect(at)
        except OSError:
            connection.close()
            raise
        return connection
    host, _, port = at.rpartition(":")
    return socket.create_connection((host.strip("[]"), int(port)), timeout=timeout_s)


def _table(text: str, delimiter: str) -> list[dict[str, str]]:
    """Rows of a table whose first line is `# ` and the columns' names."""
    lines = [line for line in text.removeprefix("# ").splitlines() if line.strip()]
    return list(csv.DictReader(StringIO("\n".join(lines)), delimiter=delimiter))


def _server(state: dict[str, str], figures: dict[str, str]) -> Server:
    admin = int(state["srv_admin_state"])
    return Server(
        name=state["srv_name"],
        address=state["srv_addr"],
        port=int(state["srv_port"]),
        is_running=int(state["srv_op_state"]) == _RUNNING,
        is_free=bool(admin & _MAINTAINED),
        is_drained=bool(admin & _DRAINED),
        under_way=int(figures["scur"]) + int(figures["qcur"]),
    )
