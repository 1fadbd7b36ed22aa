"""The FastAPI application: every path but `POST /v1/predict`. Keys, limits and logs are the front's, which calls it."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, Response
from prometheus_client.exposition import choose_encoder
from starlette.exceptions import HTTPException
from swagger_ui_bundle import swagger_ui_path  # type: ignore[import-untyped]

from tidegate import __version__
from tidegate.serving.http.headers import DOCS_CSP, JSON, PROBLEM
from tidegate.serving.http.openapi import openapi_bytes
from tidegate.serving.http.port import ServicePort
from tidegate.serving.http.routes import DOCS_ASSETS
from tidegate.serving.messages import Heartbeat
from tidegate.serving.metrics import Metrics
from tidegate.serving.problems import Problem
from tidegate.serving.reply import Readiness

_encode = msgspec.json.Encoder().encode
_heartbeat = msgspec.json.Decoder(Heartbeat).decode
_LONGEST_DETAIL: Final = 300
_RANGES: Final = (b"range", b"if-range")
_STATUS_PROBLEMS: Final = {404: "not_found", 405: "method_not_allowed"}
_START_JS: Final = """\
window.onload = () => {
  window.ui = SwaggerUIBundle({url: "openapi.json", dom_id: "#swagger-ui", deepLinking: true, validatorUrl: null});
};
"""
_PAGE: Final = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>tidegate serving</title>
<link rel="stylesheet" href="docs/swagger-ui.css">
<link rel="icon" type="image/png" href="docs/favicon-32x32.png">
</head>
<body>
<div id="swagger-ui"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""


def make_app(service: ServicePort, metrics: Metrics, notes: Callable[[], list[str]], *, docs: bool) -> FastAPI:
    """The application.

    Args:
        service: answers.
        metrics: shown by `/metrics`.
        notes: what the border itself has to say in `/readyz`.
        docs: whether `/docs` and `/openapi.json` are served.
    """
    app = FastAPI(title="tidegate serving", version=__version__, openapi_url=None, docs_url=None, redoc_url=None)
    _add_errors(app, metrics)
    _add_state(app, service, metrics, notes)
    _add_service(app, service)
    if docs:
        _add_docs(app)
    return app


def _add_service(app: FastAPI, service: ServicePort) -> None:
    @app.get("/v1/model")
    async def model() -> Response:
        return _json(service.model())

    @app.get("/v1/bots")
    async def bots() -> Response:
        return _json(service.bots())

    @app.post("/v1/bots/heartbeat")
    async def heartbeat(request: Request) -> Response:
        try:
            message = _heartbeat(await request.body())
        except msgspec.MsgspecError as error:
            raise Problem("malformed", str(error)[:_LONGEST_DETAIL]) from error
        except (RecursionError, UnicodeDecodeError) as error:
            raise Problem("malformed", "the body is nested too deeply or is not UTF-8") from error
        service.heartbeat(message, request.state.key_id)
        return Response(status_code=204)

    @app.post("/v1/admin/check")
    async def check(request: Request) -> Response:
        reply = service.check(await request.body(), request.state.request_id)
        kind = JSON if reply.status < 400 else PROBLEM
        return Response(reply.body, reply.status, {"content-type": kind.decode()})

    @app.post("/v1/admin/reload")
    async def reload() -> Response:
        return _json(await service.reload())


def _add_state(app: FastAPI, service: ServicePort, metrics: Metrics, notes: Callable[[], list[str]]) -> None:
    @app.get("/healthz")
    async def healthz() -> Response:
        return _json({"alive": True})

    @app.get("/readyz")
    async def readyz() -> Response:
        found = service.readiness()
        metrics.ready.set(found.ready)
        told = Readiness(found.ready, found.reasons, [*found.notes, *notes()])
        return _json(told, 200 if found.ready else 503)

    @app.get("/metrics")
    async def show_metrics(request: Request) -> Response:
        metrics.ready.set(service.readiness().ready)
        try:
            encode, kind = choose_encoder(request.headers.get("accept", ""))
        except (TypeError, ValueError):  # the library does not bear every version that a client may name
            encode, kind = choose_encoder("")
        return Response(encode(metrics.registry), headers={"content-type": kind})


def _add_docs(app: FastAPI) -> None:
    described = openapi_bytes()
    csp = {"content-security-policy": DOCS_CSP}

    @app.get("/openapi.json")
    async def openapi() -> Response:
        return Response(described, media_type=JSON.decode())

    @app.get("/docs")
    async def page() -> Response:
        return Response(_PAGE, media_type="text/html", headers=csp)

    @app.get("/docs/{name}")
    async def asset(name: str, request: Request) -> Response:
        if name not in DOCS_ASSETS:
            raise HTTPException(404)
        kind = {"content-type": DOCS_ASSETS[name]}
        if name == "start.js":
            return Response(_START_JS, headers=kind)
        # Always whole: an answer to a wrong range would be Starlette's own text.
        request.scope["headers"] = [header for header in request.scope["headers"] if header[0] not in _RANGES]
        # In pieces from the file: 1.3 MB for each of many slow readers would not fit into the memory.
        return FileResponse(Path(swagger_ui_path) / name, headers=kind)


def _add_errors(app: FastAPI, metrics: Metrics) -> None:
    def refuse(request: Request, problem: Problem) -> Response:
        metrics.problems.labels(problem.slug).inc()
        request_id: str | None = getattr(request.state, "request_id", None)
        headers = problem.headers | {"content-type": PROBLEM.decode()}
        return Response(problem.to_bytes(request_id), problem.status, headers)

    def on(kind: type[Exception], problem_of: Callable[[Exception], Problem]) -> None:
        async def handle(request: Request, error: Exception) -> Response:
            return refuse(request, problem_of(error))

        handler: Callable[[Request, Any], Awaitable[Response]] = handle
        app.add_exception_handler(kind, handler)

    on(Problem, lambda error: error if isinstance(error, Problem) else _internal(error))
    on(HTTPException, _http_problem)
    on(RequestValidationError, lambda _: Problem("malformed", "see /openapi.json for what is expected"))
    on(Exception, _internal)


def _http_problem(error: Exception) -> Problem:
    status = getattr(error, "status_code", 500)
    slug = _STATUS_PROBLEMS.get(status, "malformed" if status < 500 else "internal")
    return Problem(slug, "see /openapi.json for what there is")


def _internal(_error: Exception) -> Problem:
    return Problem("internal", "the request id names it in the service's log")


def _json(value: object, status: int = 200) -> Response:
    return Response(_encode(value), status, media_type=JSON.decode())
