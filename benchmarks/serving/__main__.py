"""The service against its rivals: `python -m benchmarks.serving [--quick] [--json FILE] [--ours]`.

One model, one client, loopback; servers on one core, the client on another; rounds are interleaved and medians are told. Every answer is
compared with XGBoost's own probability. A wrong answer, a missing one or a missed target makes the exit code 1.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.serving import market, ours, rivals
from benchmarks.serving.contender import Failed
from benchmarks.serving.environments import NotInstalled, write_lock
from benchmarks.serving.process import DidNotStart, Running, cores, pinned
from benchmarks.serving.report import NEW_BAR, Figures
from benchmarks.serving.rounds import many_clients, one_client, warm_up
from benchmarks.serving.soak import soak
from tests.servers import mlflow_server

from tidegate.settings.serving import Serving

_LOCKS = ("mlflow", "mlserver", "bentoml", "fastapi")
_SYNC_TRIES = 200
_IMAGE = os.environ.get("IMAGE", "tidegate-serving")


@dataclass(frozen=True, slots=True)
class Length:
    """How long to measure."""

    rounds: int
    seconds: float
    crowd_rounds: int
    crowd_seconds: float
    starts: int
    soak_seconds: float


FULL = Length(rounds=7, seconds=2.0, crowd_rounds=3, crowd_seconds=3.0, starts=5, soak_seconds=60.0)
QUICK = Length(rounds=3, seconds=0.7, crowd_rounds=1, crowd_seconds=1.5, starts=2, soak_seconds=8.0)


def main() -> int:
    """Measure, print, and judge."""
    chosen = _arguments()
    if chosen.lock:
        for name in _LOCKS:
            write_lock(name)
        return 0
    figures, length = Figures(), QUICK if chosen.quick else FULL
    server_core, client_core = cores()
    with tempfile.TemporaryDirectory(prefix="tidegate-bench-") as temporary, contextlib.ExitStack() as stack:
        stack.enter_context(pinned(client_core))
        folder = Path(temporary)
        figures.machine = _machine(folder, server_core, client_core)
        try:
            _measure(figures, length, folder, stack, server_core, with_rivals=not chosen.ours)
        except (Failed, DidNotStart) as error:
            print(f"the comparison is void: {error}", file=sys.stderr)
            return 1
    figures.machine["load average, end"] = f"{os.getloadavg()[0]:.2f}"
    print("\n".join(figures.lines()))
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(figures.to_json(), indent=1) + "\n")
    return 0 if all(verdict.met for verdict in figures.verdicts()) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.serving", description="Measure the service and its rivals."
    )
    parser.add_argument("--quick", action="store_true", help="a short run: every step, with less certain figures")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument("--ours", action="store_true", help="leave the rivals out; their targets are then not met")
    parser.add_argument("--lock", action="store_true", help="write the locks of the rivals' environments anew, and end")
    return parser.parse_args()


def _measure(
    figures: Figures, length: Length, folder: Path, stack: contextlib.ExitStack, core: int, *, with_rivals: bool
) -> None:
    _say("training, registering and signing the model")
    made = market.make(folder / "market")
    registry = stack.enter_context(mlflow_server(folder / "mlflow"))
    installation = ours.install(made, registry, folder / "tidegate")
    running = _starts(figures, length, installation, core)
    stack.callback(running.stop)
    contenders, servers = ours.contenders(running, made, installation), {"tidegate": running}
    if with_rivals:
        for rival in rivals.RIVALS:
            _say(f"starting {rival.name}")
            try:
                server, asked = rivals.start(rival, made, folder / "rivals" / str(len(servers)), core)
            except (NotInstalled, DidNotStart) as error:
                figures.skipped[rival.name] = str(error)
                continue
            stack.callback(server.stop)
            servers |= {contender.name: server for contender in asked}
            contenders += asked
    warm_up(contenders)
    _say("one client")
    figures.one_client = one_client(contenders, length.rounds, length.seconds)
    _say("eight clients")
    figures.many_clients = many_clients(contenders, length.crowd_rounds, length.crowd_seconds)
    figures.rss_mb = {name: server.rss_mb() for name, server in servers.items()}
    for server in servers.values():
        if server is not running:
            server.stop()
    _soaks(figures, length, running, made, installation)
    figures.image_mb = _image_mb()


def _starts(figures: Figures, length: Length, installation: ours.Installation, core: int) -> Running:
    """Measure starts: from the registry, from the cache, from the cache with the registry down; the last one goes on."""
    _say("starting tidegate")
    first, seconds = ours.start(installation, core)
    figures.start_s["from the registry"] = [seconds]
    first.stop()
    figures.start_s["cached"], figures.start_s["cached, registry down"] = [], []
    for _ in range(length.starts):
        for kind, changes in (("cached", {}), ("cached, registry down", {"registry_uri": "http://127.0.0.1:9"})):
            running, seconds = ours.start(installation, core, **changes)
            figures.start_s[kind].append(seconds)
            running.stop()
    return ours.start(installation, core)[0]


def _soaks(
    figures: Figures, length: Length, running: Running, made: market.Market, installation: ours.Installation
) -> None:
    questions = ours.new_bars(made, installation.keys["soak"])
    capacity = statistics.median(figures.many_clients[NEW_BAR])
    for name, rate in (("twice expected_rps", 2.0 * Serving().expected_rps), ("half of capacity", capacity / 2.0)):
        _say(f"soak at {name}, {rate:.0f} a second")
        figures.soaks[name] = soak(running, questions, rate, length.soak_seconds)


def _machine(folder: Path, server_core: int, client_core: int) -> dict[str, object]:
    model = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return {
        "processor": model[0] if model else "unknown",
        "cores": f"servers on {server_core}, client on {client_core}",
        "load average, begin": f"{os.getloadavg()[0]:.2f}",
        "fdatasync of 1 kB here, p50": f"{_sync_ms(folder):.3f} ms",
    }


def _sync_ms(folder: Path) -> float:
    """What durability costs on this disk: writing and syncing a kilobyte, which each answer of ours waits for."""
    spent = []
    with (folder / "sync").open("ab", buffering=0) as file:
        for _ in range(_SYNC_TRIES):
            start = time.perf_counter()
            file.write(bytes(1024))
            os.fdatasync(file.fileno())
            spent.append((time.perf_counter() - start) * 1000.0)
    return statistics.median(spent)


def _image_mb() -> float | None:
    try:
        done = subprocess.run(
            ["docker", "image", "inspect", "--format", "{{.Size}}", _IMAGE],
            check=False,
            capture_output=True,
            text=True,
            timeout=20,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return int(done.stdout) / 1e6 if done.returncode == 0 else None


def _say(text: str) -> None:
    print(f".. {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
