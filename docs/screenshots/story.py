"""An installation that has something to show: real servers, three retrainings, a calibration, a replay, a model that is served.

All of it lies in one folder, which is a clone of the project's newest commit, and listens on free ports of the loopback address.
"""

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tidegate.services.probe import free_port

PROJECT: Final = Path(__file__).parents[2]
PROMOTED, REFUSED = "simulated-demo", "eurusd-sample"
# Fixed times, so that the pictures show the same figures whenever they are taken.
RETRAINS: Final = (
    (REFUSED, "2018-01-01T00:00:00Z"),
    (PROMOTED, "2026-11-01T00:00:00Z"),
    (PROMOTED, "2026-12-01T00:00:00Z"),
)
REPLAYED: Final = ("2026-08", "2026-10")
WORLDS: Final = 2000
_BEGUN_S: Final = 300.0
_COMMAND_S: Final = 1800.0
_STOPPED_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Story:
    """What the pictures are taken of.

    Attributes:
        mlflow, prefect: addresses of the servers.
        experiment_id: of the promoted strategy in MLflow.
        run_ids: of its retrainings in MLflow, newest first.
        flow_run_id: of its newest retraining in Prefect.
        report, refusal, calibration, replay, checklist: pages.
    """

    mlflow: str
    prefect: str
    experiment_id: str
    run_ids: tuple[str, ...]
    flow_run_id: str
    report: Path
    refusal: Path
    calibration: Path
    replay: Path
    checklist: Path


@contextmanager
def told(folder: Path) -> Iterator[Story]:
    """Let all of it happen in an empty folder; servers run until the end.

    Raises:
        RuntimeError: a command failed, or a server did not start; the message carries its output.
    """
    root = folder / "tidegate"
    subprocess.run(("git", "clone", "--quiet", str(PROJECT), str(root)), check=True)  # noqa: S603, S607
    place = _Place(root)
    with place.server("up", "up"):
        place.wait_until_up()
        outcomes = [place.json("retrain", name, "--as-of", as_of)[0] for name, as_of in RETRAINS]
        with place.server("serve", "serve", PROMOTED, "--clock", "bars", "--port", str(place.ports["serving"])):
            place.wait_for(f"http://127.0.0.1:{place.ports['serving']}/readyz")
            place.run(
                "sign", "code.reviewed", "--by", "Ada Lovelace", "--note", "merge request 12, all findings resolved"
            )
            checklist = folder / "checklist.html"
            place.run("checklist", PROMOTED, "--html", str(checklist), allowed=(0, 5))
        calibration = place.json("calibrate", PROMOTED, "--worlds", str(WORLDS), "--checked", "20")
        replay = place.json("replay", PROMOTED, "--from", REPLAYED[0], "--to", REPLAYED[1])
        newest = outcomes[-1]
        yield Story(
            mlflow=place.mlflow,
            prefect=place.prefect,
            experiment_id=place.experiment_id(str(newest["run_id"])),
            run_ids=tuple(str(outcome["run_id"]) for outcome in reversed(outcomes) if outcome["strategy"] == PROMOTED),
            flow_run_id=place.flow_run_id(),
            report=Path(newest["report"]),
            refusal=Path(outcomes[0]["report"]),
            calibration=Path(calibration["page"]),
            replay=Path(replay[0]["page"]),
            checklist=checklist,
        )


class _Place:
    """The clone, its ports, and the command line in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.ports = {name: free_port() for name in ("mlflow", "prefect", "watch", "serving")}
        self.mlflow, self.prefect = (f"http://127.0.0.1:{self.ports[name]}" for name in ("mlflow", "prefect"))
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("TIDEGATE_", "PREFECT_", "MLFLOW_"))
        }
        own = {f"TIDEGATE_{name.upper()}__PORT": str(port) for name, port in self.ports.items()}
        self._environment = kept | own | {"TIDEGATE_ROOT": str(root), "COLUMNS": "160"}
        self._environment["TIDEGATE_PREFECT__START_TIMEOUT_S"] = f"{_BEGUN_S:.0f}"
        self._servers: dict[Path, subprocess.Popen[bytes]] = {}

    def run(self, *arguments: str, allowed: tuple[int, ...] = (0,)) -> str:
        """What a command of `tidegate` prints; it must end with one of the allowed codes."""
        sys.stdout.write(f"tidegate {' '.join(arguments)}\n")
        sys.stdout.flush()
        done = subprocess.run(  # noqa: S603  the project's own command
            (*_COMMAND, *arguments),
            cwd=self.root, env=self._environment, check=False, capture_output=True, text=True, timeout=_COMMAND_S,
        )  # fmt: skip
        if done.returncode not in allowed:
            raise RuntimeError(
                f"tidegate {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
            )
        return done.stdout

    def json(self, *arguments: str) -> Any:  # noqa: ANN401  any JSON
        """What a command prints with `--json`."""
        return json.loads(self.run(*arguments, "--json"))

    @contextmanager
    def server(self, name: str, *arguments: str) -> Iterator[None]:
        """A command that runs until it is stopped."""
        log = self.root.parent / f"{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(  # noqa: S603  the project's own command
                (*_COMMAND, *arguments), cwd=self.root, env=self._environment, stdout=output, stderr=subprocess.STDOUT
            )
            self._servers[log] = process
            try:
                yield
            finally:
                del self._servers[log]
                process.terminate()
                try:
                    process.wait(_STOPPED_S)
                except subprocess.TimeoutExpired:
                    process.kill()

    def wait_until_up(self) -> None:
        """Wait for the last of the servers that `tidegate up` starts: then its deployments are there as well."""
        log = self.root.parent / "up.log"
        self._wait(lambda: re.search(r"^up +ready", log.read_text(), re.MULTILINE), "tidegate up")

    def wait_for(self, address: str) -> None:
        """Wait for an address to answer with 200."""

        def answers() -> bool:
            with suppress(OSError):
                return bool(_open(address).status == 200)
            return False

        self._wait(answers, address)

    def experiment_id(self, run_id: str) -> str:
        """The MLflow experiment of a run."""
        return str(
            json.load(_open(f"{self.mlflow}/api/2.0/mlflow/runs/get?run_id={run_id}"))["run"]["info"]["experiment_id"]
        )

    def flow_run_id(self) -> str:
        """The newest finished retraining in Prefect."""
        wanted = {
            "limit": 1,
            "sort": "END_TIME_DESC",
            "flows": {"name": {"any_": ["retrain"]}},
            "flow_runs": {"state": {"type": {"any_": ["COMPLETED"]}}},
        }
        return str(json.load(_open(f"{self.prefect}/api/flow_runs/filter", wanted))[0]["id"])

    def _wait(self, condition: Any, what: str) -> None:  # noqa: ANN401  a function without arguments
        deadline = time.monotonic() + _BEGUN_S
        while not condition():
            for log, process in self._servers.items():
                if process.poll() is not None:
                    raise RuntimeError(f"{log.stem} ended:\n{log.read_text()[-2000:]}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"{what} did not begin within {_BEGUN_S:.0f} s")
            time.sleep(0.5)


_COMMAND: Final = (sys.executable, "-m", "tidegate.cli.main")


def _open(address: str, body: Mapping[str, object] | None = None) -> Any:  # noqa: ANN401  an answer of urllib
    content = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address, content, {"Content-Type": "application/json"})  # noqa: S310  loopback
    return urllib.request.urlopen(request, timeout=10)  # noqa: S310
