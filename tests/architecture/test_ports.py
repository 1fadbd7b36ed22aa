"""Processes of pytest-xdist share no port, and a port that was given is not given again soon."""

import itertools
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

from tests.servers import PORTS_A_WORKER, free_port, ports_of

TESTS = Path(__file__).parents[1]
HERE = os.environ.get("PYTEST_XDIST_WORKER", "gw0")


def test_no_two_processes_have_a_port_in_common() -> None:
    groups = [ports_of(f"gw{number}") for number in range(16)]
    for one, other in itertools.combinations(groups, 2):
        assert set(one).isdisjoint(other)
    assert all(1024 < port < 32_768 for group in groups for port in group)


def test_a_port_that_was_given_is_not_given_again_soon() -> None:
    given = [free_port() for _ in range(500)]
    assert len(set(given)) == 500
    assert set(given) <= set(ports_of(HERE))


def test_a_port_that_is_taken_is_passed_over() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", free_port()))
        taken.listen()
        port = taken.getsockname()[1]
        assert port not in [free_port() for _ in range(PORTS_A_WORKER)]


def test_another_process_takes_its_own() -> None:
    code = "from tests.servers import free_port; print(free_port())"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=TESTS.parent, env={**os.environ, "PYTEST_XDIST_WORKER": "gw5"}, check=True,
        capture_output=True, text=True,
    )  # fmt: skip
    assert int(done.stdout) in ports_of("gw5")


def test_there_is_one_place_that_gives_ports() -> None:
    found = [
        str(path.relative_to(TESTS))
        for path in sorted(TESTS.rglob("*.py"))
        if re.search(r"^def free_port\(", path.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert found == ["servers.py"]
