"""Every path of the service, with who may call it. The front refuses whatever is not in this table."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from tidegate.keys.api_keys import Scope


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one path.

    Attributes:
        path: also the label of its metrics and of its lines in the access log.
        scope: what the API key must allow; None is open to everybody.
        body_bytes: largest body; None is `serving.max_body_kb`, 0 takes no body.
        json: whether the body must be JSON.
        docs: whether it belongs to the documentation, which `serving.docs` switches off.
    """

    method: Literal["GET", "POST"]
    path: str
    scope: Scope | None
    body_bytes: int | None = 0
    json: bool = False
    docs: bool = False


PREDICT: Final = Route("POST", "/v1/predict", "predict", None, json=True)
UNKNOWN_PATH: Final = "unknown"
"""Label of every path that is not in the table, so that nobody can make new labels."""
DOCS_ASSETS: Final[Mapping[str, str]] = {
    "swagger-ui.css": "text/css; charset=utf-8",
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "favicon-32x32.png": "image/png",
    "start.js": "text/javascript; charset=utf-8",
}
ROUTES: Final = (
    PREDICT,
    Route("GET", "/v1/model", "predict"),
    Route("POST", "/v1/bots/heartbeat", "predict", 16_384, json=True),
    Route("GET", "/v1/bots", "admin"),
    Route("POST", "/v1/admin/reload", "admin", 1024),
    Route("POST", "/v1/admin/check", "admin", None, json=True),
    Route("GET", "/healthz", None),
    Route("GET", "/readyz", None),
    Route("GET", "/metrics", "metrics"),
    Route("GET", "/openapi.json", None, docs=True),
    Route("GET", "/docs", None, docs=True),
    *(Route("GET", f"/docs/{name}", None, docs=True) for name in DOCS_ASSETS),
)


def routing(*, docs: bool) -> dict[str, dict[str, Route]]:
    """Path to method to route."""
    table: dict[str, dict[str, Route]] = {}
    for route in ROUTES:
        if docs or not route.docs:
            table.setdefault(route.path, {})[route.method] = route
    return table
