"""`make audit` against a server that speaks OSV's protocol on this machine: faults and silence both fail."""

import json
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


class Osv(ThreadingHTTPServer):
    """Knows faults by package; keeps what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.faulty: set[str] = set()
        self.asked: dict[str, str] = {}


class Handler(BaseHTTPRequestHandler):
    server: Osv

    def do_POST(self) -> None:
        asked: dict[str, Any] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        name = asked["package"]["name"]
        self.server.asked[name] = asked["version"]
        affected = {"package": {"name": name, "ecosystem": "PyPI"}, "versions": [asked["version"]]}
        fault = {"id": "GHSA-made-up", "modified": "2026-01-01T00:00:00Z", "summary": "made up", "affected": [affected]}
        body = json.dumps({"vulns": [fault]} if name in self.server.faulty else {}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def osv() -> Iterator[Osv]:
    with Osv() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def audit(url: str, cache: Path) -> subprocess.CompletedProcess[str]:
    options = f"--osv-url {url} --timeout 5 --cache-dir {cache}"
    command = [
        "make",
        "--old-file=.venv/.ready",
        "audit",
        "AUDIT_LOCK=requirements/build.lock",
        f"AUDIT_OPTIONS={options}",
    ]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_a_known_fault_fails_and_none_passes(osv: Osv, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{osv.server_port}/v1/query"
    clean = audit(url, tmp_path)
    assert clean.returncode == 0, clean.stderr
    locked = dict(
        line.removesuffix("\\").strip().split("==")
        for line in (ROOT / "requirements" / "build.lock").read_text().splitlines()
        if "==" in line
    )
    assert osv.asked == {name: version.partition(" ;")[0] for name, version in locked.items()}
    osv.faulty = {"hatchling"}
    found = audit(url, tmp_path)
    assert found.returncode != 0
    assert "GHSA-made-up" in found.stdout


@pytest.mark.slow
def test_a_service_that_does_not_answer_fails(osv: Osv, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{osv.server_port}/v1/query"
    osv.shutdown()
    osv.server_close()
    assert audit(url, tmp_path).returncode != 0
