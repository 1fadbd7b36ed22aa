"""Asks servers on this machine: is a port free, does an address answer."""

import contextlib
import errno
import json
import socket
import urllib.request
from http import HTTPStatus

from tidegate.errors import ServiceError

HOST = "127.0.0.1"

# Loopback addresses are never reached through a proxy, whatever the environment says.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def answers(url: str, timeout_s: float = 2.0) -> bool:
    """Whether a GET is answered with 200."""
    with contextlib.suppress(OSError, ValueError), _DIRECT.open(url, timeout=timeout_s) as response:
        return bool(response.status == HTTPStatus.OK)
    return False


def post_json(url: str, body: object, timeout_s: float = 5.0) -> object:
    """Post JSON and return the answer's JSON.

    Raises:
        OSError: no connection, or an answer that is an error (urllib's errors are OSErrors).
        ValueError: the answer is not JSON.
    """
    request = urllib.request.Request(  # noqa: S310  callers pass loopback http addresses
        url, data=json.dumps(body).encode(), headers={"Content-Type": "application/json"}, method="POST"
    )
    with _DIRECT.open(request, timeout=timeout_s) as response:
        answer: object = json.load(response)
    return answer


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of 127.0.0.1 now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As the servers do: connections that linger in TIME_WAIT do not count, a listening socket does.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            if error.errno in {errno.EADDRINUSE, errno.EACCES}:
                return False
            raise
    return True


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def require_free(port: int, title: str, setting: str) -> None:
    """Refuse a port that is in use.

    Args:
        port: the port on 127.0.0.1.
        title: the server that wants it, for the message.
        setting: the setting that decides.

    Raises:
        ServiceError: another process listens on it.
    """
    if is_free(port):
        return
    variable = "TIDEGATE_" + setting.upper().replace(".", "__")
    raise ServiceError(
        f"{title} cannot start: port {port} of {HOST} is taken by another process",
        setting=setting,
        next_step=f"stop that process, or choose another port with {setting} in configs/base.yaml or {variable}",
    )
