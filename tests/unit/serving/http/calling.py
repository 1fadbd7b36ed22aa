"""Calls the border as an ASGI server would, without one."""

import asyncio
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.integration.serving.http.stand_in import StandIn

from tidegate.keys.api_keys import ApiKeys, new_key
from tidegate.serving.http.access_log import AccessLog, Line
from tidegate.serving.http.front import Front
from tidegate.serving.http.keyring import KeyRing
from tidegate.serving.http.port import ServicePort
from tidegate.serving.metrics import Metrics
from tidegate.settings.serving import Serving

JSON = {"content-type": "application/json"}


@dataclass(frozen=True)
class Answered:
    """What was sent back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def slug(self) -> str:
        """The problem's name."""
        return str(json.loads(self.body)["type"]).removeprefix("urn:tidegate:problem:")


class Kept(AccessLog):
    """An access log that keeps its lines."""

    def __init__(self) -> None:
        super().__init__(os.dup(1))
        self.lines: list[Line] = []

    def add(self, line: Line) -> None:
        self.lines.append(line)


class Border:
    """The whole border around a service, with its metrics and its log at hand."""

    def __init__(self, service: ServicePort | None = None, keys: KeyRing | None = None, **settings: Any) -> None:  # noqa: ANN401  settings of many types
        self.service = service or StandIn()
        self.metrics = Metrics()
        self.log = Kept()
        serving = Serving(**{"strategies": ("stand-in",), **settings})
        self.front = Front.around(
            self.service, serving, keys=keys or KeyRing(None), metrics=self.metrics, access_log=self.log
        )

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | Sequence[bytes] = b"",
        headers: dict[str, str] | None = None,
        client: str = "192.0.2.1",
        more: Iterable[dict[str, Any]] = (),
    ) -> Answered:
        return asyncio.run(self.answer(method, path, body, headers, client, more))

    def predict(self, content: object = None, **headers: str) -> Answered:
        body = json.dumps({} if content is None else content).encode()
        return self.ask("POST", "/v1/predict", body, JSON | {name.replace("_", "-"): v for name, v in headers.items()})

    async def answer(
        self,
        method: str,
        path: str,
        body: bytes | Sequence[bytes] = b"",
        headers: dict[str, str] | None = None,
        client: str = "192.0.2.1",
        more: Iterable[dict[str, Any]] = (),
    ) -> Answered:
        """One request; `more` are further messages after the parts of the body, and after them nothing comes."""
        parts = [body] if isinstance(body, bytes) else list(body)
        more = list(more)
        coming: list[dict[str, Any]] = [
            {"type": "http.request", "body": part, "more_body": bool(more) or at < len(parts) - 1}
            for at, part in enumerate(parts)
        ]
        coming += more
        sent: list[Any] = []

        async def receive() -> Any:  # noqa: ANN401  an ASGI message
            if coming:
                return coming.pop(0)
            await asyncio.sleep(3600)
            raise AssertionError

        async def send(message: Any) -> None:  # noqa: ANN401  an ASGI message
            sent.append(message)

        path, _, query = path.partition("?")
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "scheme": "http",
            "root_path": "",
            "client": (client, 50_000),
            "server": ("127.0.0.1", 80),
            "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in (headers or {}).items()],
        }
        await self.front(scope, receive, send)
        if not sent:
            return Answered(0, {}, b"")
        names = [name.decode() for name, _ in sent[0]["headers"]]
        assert len(names) == len(set(names)), "a header stands twice"
        found = {name.decode(): value.decode("latin-1") for name, value in sent[0]["headers"]}
        return Answered(sent[0]["status"], found, b"".join(message.get("body", b"") for message in sent[1:]))


def key_file(folder: Path, **scopes: Sequence[str]) -> tuple[Path, dict[str, str]]:
    """A file of keys, one an id, and their texts."""
    texts, keys = {}, []
    for key_id, allowed in scopes.items():
        texts[key_id], key = new_key(key_id, allowed, created_at=0)
        keys.append(key)
    path = folder / "keys.yaml"
    ApiKeys(keys).write(path)
    return path, texts
