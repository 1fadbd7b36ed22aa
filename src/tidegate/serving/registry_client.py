"""Reads MLflow's registry over its REST API, without any MLflow package. Blocking: it belongs into a worker thread.

Everything that can go wrong is a RegistryError that says what, where and the next step, never with a password. Its text is the same each time
for the same fault, so that whoever counts refusals can tell a new one. That a model does not exist is an answer, not an error.
"""

import base64
import json
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import quote, unquote, urlencode, urlsplit

import urllib3
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, ReadTimeoutError

from tidegate.errors import ConfigurationError, RegistryError
from tidegate.serving.clock import wall_ms
from tidegate.settings.settings import Settings

MAX_ARTIFACT_BYTES: Final = 100_000_000
MAX_ARTIFACTS: Final = 32
_MAX_ANSWER_BYTES: Final = 8_000_000
_API: Final = "/api/2.0/mlflow/"
_ARTIFACTS: Final = "/api/2.0/mlflow-artifacts/artifacts"
_SCHEME: Final = "mlflow-artifacts"
_TRANSIENT: Final = frozenset({429, 500, 502, 503, 504})
_BACKOFF_S: Final = 0.2
_WHOLE_BODY_TIMEOUTS: Final = 12  # a whole body may take as many time-outs, however slowly it drips
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_Method = Literal["GET", "POST"]


@dataclass(frozen=True, slots=True)
class RegisteredModel:
    """A registered model as far as the service needs it: which version each alias names, and its tags."""

    name: str
    aliases: Mapping[str, int]
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Reply:
    status: int
    content: bytes


class _Broken(Exception):
    """One attempt failed in a way that a further one may not."""


class RegistryClient:
    """MLflow at one address.

    Args:
        settings: `serving.registry_*`, and `mlflow` where those are empty.
        now_ms: UTC ms, for the time that a whole answer may take.

    Raises:
        ConfigurationError: the address is not that of a server.
    """

    def __init__(self, settings: Settings, now_ms: Callable[[], int] = wall_ms) -> None:
        serving = settings.serving
        uri = serving.registry_uri or settings.mlflow.tracking_uri or f"http://127.0.0.1:{settings.mlflow.port}"
        parts = urlsplit(uri)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ConfigurationError(
                "the service reads the registry through an MLflow server",
                expected="http://host:port or https://host:port",
                actual=f"{parts.scheme}:..." if parts.scheme else "no address",
                setting="serving.registry_uri",
            )
        host = parts.netloc.rpartition("@")[2]
        self.address = f"{parts.scheme}://{host}{parts.path.rstrip('/')}"
        self._host = host
        self._in_uri = unquote(parts.netloc.rpartition("@")[0])
        self._username = serving.registry_username
        self._password_file = serving.registry_password_file
        self._token_file = serving.registry_token_file
        self._timeout_s = serving.registry_timeout_s
        self._retries = serving.registry_retries
        self._now_ms = now_ms
        self._closing = threading.Event()
        timeout = urllib3.Timeout(connect=self._timeout_s, read=self._timeout_s)
        self._pool = urllib3.PoolManager(num_pools=1, maxsize=2, timeout=timeout, retries=False)

    def registered_model(self, name: str) -> RegisteredModel | None:
        """Aliases and tags of a registered model in one call, None where MLflow says that there is none.

        Raises:
            RegistryError: MLflow cannot be reached, refuses, or answers with something else.
        """
        found = self.get("registered-models/get", {"name": name})
        if found is None:
            return None
        try:
            model = found["registered_model"]
            aliases = {str(one["alias"]): int(one["version"]) for one in model.get("aliases", ())}
            tags = {str(one["key"]): str(one.get("value", "")) for one in model.get("tags", ())}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise self._nonsense(f"about the registered model {name}") from error
        return RegisteredModel(name, aliases, tags)

    def location(self, name: str, version: int) -> str | None:
        """Where a version's files lie, None where MLflow says that there is no such version.

        Raises:
            RegistryError: as above.
        """
        found = self.get("model-versions/get-download-uri", {"name": name, "version": str(version)})
        if found is None:
            return None
        location = found.get("artifact_uri")
        if not isinstance(location, str):
            raise self._nonsense(f"about the files of {name} v{version}")
        return location

    def files(self, location: str, folder: str) -> dict[str, int]:
        """Names and sizes of the files in a folder of a version; empty where there is no such folder.

        Args:
            location: as `location` gives it.
            folder: one name, such as `bundle`.
        Raises:
            RegistryError: as above; or there are too many files, they are too large, or one is a folder or has a strange name.
        """
        path = f"{self._root(location)}/{folder}"
        reply = self._send("GET", f"{_ARTIFACTS}?{urlencode({'path': path}, quote_via=quote)}", _MAX_ANSWER_BYTES)
        found = self._parsed(reply, f"about the folder {folder}")
        if found is None:
            return {}
        try:
            entries = [
                (str(one["path"]), bool(one.get("is_dir")), int(one.get("file_size", 0)))
                for one in found.get("files", ())
            ]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise self._nonsense(f"about the folder {folder}") from error
        if len(entries) > MAX_ARTIFACTS:
            raise RegistryError(
                f"{folder}/ holds too many files", expected=f"at most {MAX_ARTIFACTS}", actual=len(entries)
            )
        for name, is_folder, _ in entries:
            if is_folder or not _NAME.fullmatch(name):
                raise RegistryError(f"{folder}/ holds what no bundle holds", expected="plain files", actual=name[:80])
        total = sum(size for _, _, size in entries)
        if total > MAX_ARTIFACT_BYTES:
            raise RegistryError(f"{folder}/ is too large", expected=f"at most {MAX_ARTIFACT_BYTES} bytes", actual=total)
        return {name: size for name, _, size in entries}

    def fetch(self, location: str, path: str, limit: int = MAX_ARTIFACT_BYTES) -> bytes:
        """The content of one file.

        Args:
            location: as `location` gives it.
            path: below it, such as `bundle/manifest.json`.
            limit: most bytes that are read.
        Raises:
            RegistryError: as above; or the file is missing or larger.
        """
        whole = quote(f"{self._root(location)}/{path}", safe="/")
        reply = self._send("GET", f"{_ARTIFACTS}/{whole}", limit)
        if reply.status != 200:
            raise self._refused(reply, f"fetch {path}")
        return reply.content

    def get(self, method: str, query: Mapping[str, str]) -> dict[str, Any] | None:
        """Call a reading method; None where MLflow says that the thing does not exist.

        Raises:
            RegistryError: as above.
        """
        reply = self._send("GET", f"{_API}{method}?{urlencode(query, quote_via=quote)}", _MAX_ANSWER_BYTES)
        return self._parsed(reply, f"to {method}")

    def post(self, method: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Call a writing or searching method, once: only the caller knows whether a second time would do harm.

        Raises:
            RegistryError: as above; or the thing does not exist.
        """
        reply = self._send("POST", f"{_API}{method}", _MAX_ANSWER_BYTES, json.dumps(body).encode())
        found = self._parsed(reply, f"to {method}")
        if found is None:
            raise self._refused(reply, method)
        return found

    def close(self) -> None:
        """End what is under way soon: reading is given up, in waiting retries and long downloads too. Writing still works."""
        self._closing.set()

    def _send(self, method: _Method, target: str, limit: int, body: bytes | None = None) -> _Reply:
        attempts = 1 + (self._retries if method == "GET" else 0)
        failure: tuple[str, Exception | None] = ("", None)
        for attempt in range(attempts):
            if attempt and self._closing.wait(_BACKOFF_S * 2 ** (attempt - 1)):
                break
            try:
                reply = self._once(method, target, limit, body)
            except (HTTPError, _Broken) as error:
                failure = (self._fault(error), error)
                continue
            if reply.status not in _TRANSIENT:
                return reply
            failure = (f"answered {reply.status}", None)
        raise RegistryError(
            f"MLflow at {self.address} could not be reached: {failure[0]}",
            setting="serving.registry_uri",
            next_step="start the server or correct the address; the last good model goes on meanwhile",
        ) from failure[1]

    def _once(self, method: _Method, target: str, limit: int, body: bytes | None) -> _Reply:
        headers = {"Accept-Encoding": "identity", "User-Agent": "tidegate-serving", **self._credentials()}
        if body is not None:
            headers["Content-Type"] = "application/json"
        until_ms = self._now_ms() + 1000 * self._timeout_s * _WHOLE_BODY_TIMEOUTS
        response = self._pool.request(
            method, self.address + target, headers=headers, body=body, redirect=False, preload_content=False
        )
        try:
            if 300 <= response.status < 400:
                raise RegistryError(
                    f"MLflow at {self.address} redirects elsewhere, which is not followed",
                    setting="serving.registry_uri",
                    next_step="give the address that it redirects to, if you trust it",
                )
            content = bytearray()
            # Not `stream`, which waits for whole pieces: a drip must come to the checks below.
            while chunk := response.read1(65_536, decode_content=False):
                content += chunk
                if len(content) > limit:
                    raise RegistryError(
                        f"an answer of MLflow at {self.address} is too large", expected=f"at most {limit} bytes"
                    )
                if method == "GET" and self._closing.is_set():
                    raise _Broken("given up, as the service stops")
                if self._now_ms() > until_ms:
                    raise _Broken("an answer came too slowly")
            return _Reply(response.status, bytes(content))
        finally:
            # A connection whose answer was not read to its end cannot be used again.
            response.close()

    def _credentials(self) -> dict[str, str]:
        """Read at every call, so that a changed secret needs no restart."""
        if self._token_file is not None:
            return {"Authorization": f"Bearer {_secret(self._token_file, 'serving.registry_token_file')}"}
        pair = self._in_uri
        if self._username is not None and self._password_file is not None:
            pair = f"{self._username}:{_secret(self._password_file, 'serving.registry_password_file')}"
        return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"} if pair else {}

    def _parsed(self, reply: _Reply, about: str) -> dict[str, Any] | None:
        if reply.status == 404 and _error_code(reply.content) == "RESOURCE_DOES_NOT_EXIST":
            return None
        if reply.status != 200:
            raise self._refused(reply, f"answer {about}")
        try:
            found = json.loads(reply.content or b"{}")
        except (ValueError, RecursionError) as error:
            raise self._nonsense(about) from error
        if not isinstance(found, dict):
            raise self._nonsense(about)
        return found

    def _refused(self, reply: _Reply, what: str) -> RegistryError:
        if reply.status in {401, 403}:
            return RegistryError(
                f"MLflow at {self.address} refuses these credentials: {reply.status}",
                setting="serving.registry_username or serving.registry_token_file",
                next_step="correct the secret file; it is read again at the next look",
            )
        code = _error_code(reply.content)
        told = f" ({code})" if code else ", which is not MLflow's way to answer"
        return RegistryError(
            f"MLflow at {self.address} did not {what}: {reply.status}{told}", setting="serving.registry_uri"
        )

    def _nonsense(self, about: str) -> RegistryError:
        return RegistryError(
            f"the answer of {self.address} {about} cannot be read",
            expected="MLflow's JSON",
            setting="serving.registry_uri",
            next_step="is this address MLflow's?",
        )

    def _fault(self, error: Exception) -> str:
        if isinstance(error, NewConnectionError):  # a kind of ConnectTimeoutError, though nothing timed out
            return "no connection"
        if isinstance(error, ConnectTimeoutError):
            return f"no connection within {self._timeout_s:g} s"
        if isinstance(error, ReadTimeoutError):
            return f"no answer within {self._timeout_s:g} s"
        return str(error) if isinstance(error, _Broken) else f"the connection broke ({type(error).__name__})"

    def _root(self, location: str) -> str:
        parts = urlsplit(location)
        segments = parts.path.strip("/").split("/")
        if (
            parts.scheme != _SCHEME
            or parts.netloc not in {"", self._host}
            or not all(segments)
            or not {".", ".."}.isdisjoint(segments)
        ):
            raise RegistryError(
                "a version's files do not lie with the MLflow server itself",
                expected=f"{_SCHEME}:/...",
                actual=f"{parts.scheme}:...",
                next_step="start MLflow with --serve-artifacts, so that the service needs no other credentials",
            )
        return "/".join(segments)


def _secret(path: Path, setting: str) -> str:
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise RegistryError(f"the secret file {path} cannot be read", setting=setting) from error
    if not text or not text.isascii() or not text.isprintable():
        raise RegistryError(
            f"the secret file {path} holds no secret", expected="one line of ASCII text", setting=setting
        )
    return text


def _error_code(content: bytes) -> str | None:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return None
    code = found.get("error_code") if isinstance(found, dict) else None
    return code[:80] if isinstance(code, str) else None
