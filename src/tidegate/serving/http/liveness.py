"""The question of a container's HEALTHCHECK: does the service of these settings answer? Standard library only, so that asking is quick."""

import ssl
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Final

from tidegate.settings.serving import Serving

_TIMEOUT_S: Final = 3.0
_EVERY_ADDRESS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104  asked, not listened on


def answers(serving: Serving) -> bool:
    """Whether `/healthz` of the service on this machine answers with 200.

    The certificate is not checked: the service may be named otherwise inside its own container, and nothing is sent.
    """
    if serving.port == 0:
        return False  # a free port was taken, and nobody here knows which
    host = _EVERY_ADDRESS.get(serving.host, serving.host)
    if serving.tls_certificate_file is None:
        connection = HTTPConnection(host, serving.port, timeout=_TIMEOUT_S)
    else:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        connection = HTTPSConnection(host, serving.port, timeout=_TIMEOUT_S, context=context)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
