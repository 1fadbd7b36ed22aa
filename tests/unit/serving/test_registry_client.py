"""The registry client against a real HTTP server that answers as MLflow does, or as it should not."""
# ruff: noqa: ANN401  keyword arguments override fields of many types

import base64
import contextlib
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from tests.servers import free_port

from tidegate.errors import ConfigurationError, RegistryError
from tidegate.serving import fetching
from tidegate.serving.bundle_cache import BundleCache
from tidegate.serving.registry_client import MAX_ARTIFACT_BYTES, RegistryClient
from tidegate.settings.serving import Serving
from tidegate.settings.settings import Mlflow, Settings

MISSING = (404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "not found"})
MODEL = {"aliases": [{"alias": "production", "version": "3"}], "tags": [{"key": "kind", "value": "real"}]}
LOCATION = "mlflow-artifacts:/1/models/m-1/artifacts"


class Server(ThreadingHTTPServer):
    """Answers in the order told, the last answer again and again; keeps what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: list[Any] = []
        self.asked: list[tuple[str, str]] = []
        self.credentials: list[str | None] = []
        self.headers: dict[str, str] = {}
        self.address = f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        server = self.server
        server.asked.append((self.command, self.path))
        server.credentials.append(self.headers.get("Authorization"))
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        answer = server.answers.pop(0) if len(server.answers) > 1 else server.answers[0]
        if callable(answer):
            answer(self)
            return
        status, content = answer
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in server.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815  http.server's name

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


def client_of(server: Server, **serving: Any) -> RegistryClient:
    fields = {"registry_uri": server.address, "registry_timeout_s": 5.0, "registry_retries": 2, **serving}
    return RegistryClient(Settings(serving=Serving(**fields)))


def told(server: Server, answer: Any, **serving: Any) -> str:
    """What the client says of an answer about a model."""
    server.answers = [answer]
    with pytest.raises(RegistryError) as caught:
        client_of(server, **serving).registered_model("m")
    return str(caught.value)


def test_one_call_gives_aliases_and_tags(server: Server) -> None:
    server.answers = [(200, {"registered_model": MODEL})]
    found = client_of(server).registered_model("m")
    assert found is not None
    assert (found.aliases, found.tags) == ({"production": 3}, {"kind": "real"})
    assert server.asked == [("GET", "/api/2.0/mlflow/registered-models/get?name=m")]


def test_a_model_without_aliases_and_tags_is_one(server: Server) -> None:
    server.answers = [(200, {"registered_model": {}})]
    found = client_of(server).registered_model("m")
    assert found is not None
    assert (found.aliases, found.tags) == ({}, {})


@pytest.mark.parametrize("name", ["a/b", "it's", 'a"b&c=d', "ä b%2F", "../x", "a#b?c"])
def test_any_name_arrives_as_it_is(server: Server, name: str) -> None:
    server.answers = [MISSING]
    assert client_of(server).registered_model(name) is None
    assert parse_qs(urlsplit(server.asked[0][1]).query) == {"name": [name]}


def test_only_mlflows_own_404_means_that_there_is_none(server: Server) -> None:
    server.answers = [MISSING]
    client = client_of(server)
    assert client.registered_model("m") is None
    assert client.location("m", 1) is None
    assert client.files(LOCATION, "signature") == {}
    others: list[Any] = [b"<html>", b"{}", {"error_code": 7}, [], {"error_code": "ENDPOINT_NOT_FOUND"}]
    for content in others:
        assert "404" in told(server, (404, content))


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_passing_failures_are_tried_again(server: Server, status: int) -> None:
    server.answers = [(status, {}), (status, {}), (200, {"registered_model": MODEL})]
    assert client_of(server).registered_model("m") is not None
    assert len(server.asked) == 3
    assert f"could not be reached: answered {status}" in told(server, (status, {}), registry_retries=0)


@pytest.mark.parametrize("status", [400, 404, 409, 501])
def test_other_failures_are_not(server: Server, status: int) -> None:
    assert f"{status} (X)" in told(server, (status, {"error_code": "X"}))
    assert len(server.asked) == 1


def test_writing_is_never_tried_again(server: Server) -> None:
    server.answers = [(503, {})]
    with pytest.raises(RegistryError):
        client_of(server).post("runs/create", {})
    assert server.asked == [("POST", "/api/2.0/mlflow/runs/create")]


@pytest.mark.parametrize(
    "content", [b"", b"<html>", b"[]", b"1", b"[" * 100_000, {}, {"registered_model": 1}, {"registered_model": []}]
)
def test_an_answer_that_is_not_mlflows_is_an_error(server: Server, content: Any) -> None:
    message = told(server, (200, content))
    assert "cannot be read, expected MLflow's JSON" in message
    assert server.address in message


@pytest.mark.parametrize(
    "model",
    [
        {"aliases": [{"alias": "a", "version": "x"}]},
        {"aliases": [1]},
        {"tags": [{}]},
        {"aliases": {"production": "1"}},
        {"tags": 5},
    ],
)
def test_aliases_and_tags_of_another_form_are_an_error(server: Server, model: Any) -> None:
    assert "cannot be read" in told(server, (200, {"registered_model": model}))


def test_redirects_are_not_followed(server: Server) -> None:
    server.headers = {"Location": f"{server.address}/elsewhere"}
    for status in (301, 302, 307, 308):
        assert "redirects elsewhere, which is not followed" in told(server, (status, b""))
    assert {path for _, path in server.asked} == {"/api/2.0/mlflow/registered-models/get?name=m"}


def test_nobody_there_is_told_with_the_address_and_the_next_step() -> None:
    address = f"http://someone:secret@127.0.0.1:{free_port()}/mlflow/"
    client = RegistryClient(Settings(serving=Serving(registry_uri=address, registry_retries=0)))
    with pytest.raises(RegistryError) as caught:
        client.registered_model("m")
    assert str(caught.value).startswith(f"registry: MLflow at {client.address} could not be reached: no connection, ")
    assert "start the server or correct the address" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "someone" not in client.address


def half(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b"x" * 500)
    handler.close_connection = True


def silent(handler: Handler) -> None:
    time.sleep(1.0)
    handler.close_connection = True


def test_a_broken_answer_is_fetched_again_and_a_silent_server_given_up(server: Server) -> None:
    server.answers = [half, (200, b"whole")]
    assert client_of(server).fetch(LOCATION, "bundle/model.onnx") == b"whole"
    server.answers = [half]
    with pytest.raises(RegistryError, match="the connection broke"):
        client_of(server, registry_retries=0).fetch(LOCATION, "bundle/model.onnx")
    assert "no answer within 0.2 s" in told(server, silent, registry_timeout_s=0.2, registry_retries=0)


def test_a_dripping_answer_is_given_up(server: Server) -> None:
    def drip(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "10")
        handler.end_headers()
        with contextlib.suppress(OSError):  # the client leaves
            for _ in range(10):
                handler.wfile.write(b"x")
                time.sleep(0.02)

    times = iter((0, 60_000, 60_001))
    server.answers = [drip]
    settings = Settings(serving=Serving(registry_uri=server.address, registry_retries=0))
    with pytest.raises(RegistryError, match="an answer came too slowly"):
        RegistryClient(settings, lambda: next(times)).fetch(LOCATION, "bundle/model.onnx")


def test_files_are_fetched_below_the_versions_location(server: Server) -> None:
    server.answers = [(200, b"\x00onnx")]
    assert client_of(server).fetch("mlflow-artifacts:/1/a b/ü", "bundle/model.onnx") == b"\x00onnx"
    assert server.asked == [("GET", "/api/2.0/mlflow-artifacts/artifacts/1/a%20b/%C3%BC/bundle/model.onnx")]
    server.answers = [(200, {"files": [{"path": "model.onnx", "is_dir": False, "file_size": 5}]})]
    assert client_of(server).files(LOCATION, "bundle") == {"model.onnx": 5}


@pytest.mark.parametrize(
    "location",
    [
        "s3://user:secret@bucket/x",
        "file:///etc",
        "/etc",
        "models:/m-1",
        "mlflow-artifacts://elsewhere:5000/1/x",
        "mlflow-artifacts:/1/../../x",
        "mlflow-artifacts:/1//x",
        "mlflow-artifacts:/",
        "http://elsewhere/x",
    ],
)
def test_files_elsewhere_are_not_fetched(server: Server, location: str) -> None:
    client = client_of(server)
    with pytest.raises(RegistryError, match="do not lie with the MLflow server itself") as caught:
        client.files(location, "bundle")
    assert "secret" not in str(caught.value)
    with pytest.raises(RegistryError, match="do not lie with the MLflow server itself"):
        client.fetch(location, "bundle/manifest.json")
    assert server.asked == []


@pytest.mark.parametrize(
    ("files", "fault"),
    [
        ([{"path": "x", "is_dir": True}], "holds what no bundle holds"),
        ([{"path": "../x"}], "holds what no bundle holds"),
        ([{"path": ".x"}], "holds what no bundle holds"),
        ([{"path": "x\n"}], "holds what no bundle holds"),
        ([{"path": f"{n}"} for n in range(33)], "too many files"),
        ([{"path": "x", "file_size": MAX_ARTIFACT_BYTES + 1}], "is too large"),
        ([{"path": n, "file_size": MAX_ARTIFACT_BYTES // 2 + 1} for n in "ab"], "is too large"),
        ([{}], "cannot be read"),
        (5, "cannot be read"),
    ],
)
def test_a_folder_that_is_none_of_a_bundle_is_refused(server: Server, files: Any, fault: str) -> None:
    server.answers = [(200, {"files": files})]
    with pytest.raises(RegistryError, match=fault):
        client_of(server).files(LOCATION, "bundle")


def test_more_bytes_than_the_limit_are_not_read(server: Server) -> None:
    server.answers = [(200, b"x" * 1001)]
    with pytest.raises(RegistryError, match="is too large, expected at most 1000 bytes"):
        client_of(server).fetch(LOCATION, "signature/manifest.sig", 1000)
    assert len(client_of(server).fetch(LOCATION, "signature/manifest.sig", 1001)) == 1001
    assert len(server.asked) == 2


def test_a_missing_file_is_an_error(server: Server) -> None:
    server.answers = [MISSING]
    with pytest.raises(RegistryError, match=r"did not fetch bundle/x: 404 \(RESOURCE_DOES_NOT_EXIST\)"):
        client_of(server).fetch(LOCATION, "bundle/x")


def test_secrets_are_read_again_when_they_change(server: Server, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    server.answers = [MISSING]
    token = client_of(server, registry_token_file=secret)
    basic = client_of(server, registry_username="bot", registry_password_file=secret)
    for text in ("first", "second"):
        secret.write_text(f"{text}\n")
        token.registered_model("m")
        basic.registered_model("m")
    pairs = [base64.b64encode(f"bot:{text}".encode()).decode() for text in ("first", "second")]
    assert server.credentials == ["Bearer first", f"Basic {pairs[0]}", "Bearer second", f"Basic {pairs[1]}"]


@pytest.mark.parametrize("content", [None, "", "\n", "two\nlines", "ä", "\x00"])
def test_a_secret_that_is_none_is_refused_unseen(server: Server, tmp_path: Path, content: str | None) -> None:
    secret = tmp_path / "secret"
    if content is not None:
        secret.write_text(content)
    message = told(server, MISSING, registry_token_file=secret)
    assert "secret file" in message
    assert "serving.registry_token_file" in message
    assert server.asked == []


def test_refused_credentials_are_told_without_them(server: Server, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("verysecret")
    for status in (401, 403):
        message = told(server, (status, {}), registry_token_file=secret)
        assert f"refuses these credentials: {status}" in message
        assert "verysecret" not in message


def test_the_name_and_password_of_an_address_are_sent_but_not_shown(server: Server) -> None:
    server.answers = [MISSING]
    address = server.address.replace("//", "//bot:p%40ss@")
    client = RegistryClient(Settings(serving=Serving(registry_uri=address)))
    client.registered_model("m")
    assert server.credentials == [f"Basic {base64.b64encode(b'bot:p@ss').decode()}"]
    assert client.address == server.address


@pytest.mark.parametrize("uri", ["sqlite:///secret.db", "postgresql://a:secret@b/c", "mlruns", "http://", "file:///x"])
def test_an_address_that_is_no_servers_is_refused(uri: str) -> None:
    with pytest.raises(ConfigurationError, match="through an MLflow server") as caught:
        RegistryClient(Settings(serving=Serving(registry_uri=uri)))
    assert "secret" not in str(caught.value)


def test_the_address_is_mlflows_where_serving_names_none() -> None:
    assert RegistryClient(Settings()).address == "http://127.0.0.1:5000"
    assert RegistryClient(Settings(mlflow=Mlflow(tracking_uri="https://m:1/x/"))).address == "https://m:1/x"


def test_after_close_nothing_is_waited_for_and_writing_still_works(server: Server) -> None:
    server.answers = [(503, {})]
    client = client_of(server, registry_retries=10)
    client.close()
    with pytest.raises(RegistryError):
        client.registered_model("m")
    assert len(server.asked) == 1
    server.answers = [(200, {})]
    assert client.post("runs/update", {}) == {}


def test_files_that_are_together_larger_than_was_listed_are_not_read(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(fetching, "MAX_ARTIFACT_BYTES", 1000)
    names = ["manifest.json", "a.bin", "b.bin", "c.bin"]
    listed = {"files": [{"path": name, "is_dir": False, "file_size": 1} for name in names]}
    files: list[Any] = [(200, b"no manifest"), (200, b"a" * 600), (200, b"b" * 600), (200, b"c" * 600)]
    server.answers = [(200, {"artifact_uri": LOCATION}), (200, listed), *files]
    fetcher = fetching.Fetcher(client_of(server), BundleCache(tmp_path))
    with pytest.raises(RegistryError, match="too large, expected at most 400 bytes"):
        fetcher.bundle("m", 1, lambda _digest, _manifest: None)
    assert not any("c.bin" in path for _, path in server.asked)
