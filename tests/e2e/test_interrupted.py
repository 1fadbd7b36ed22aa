"""Real processes that are interrupted or killed in the middle of a retraining, and what the next run makes of it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.integration.pipeline.small_market import CONTENT, give_mlflow

from tidegate.model.bundle import load_bundle
from tidegate.pipeline.job import make_job
from tidegate.pipeline.outcome import Outcome, describe
from tidegate.pipeline.retrain import retrain
from tidegate.registry.opening import open_promoter
from tidegate.registry.retrains import RetrainLedger
from tidegate.registry.tracking.versions import Tracking
from tidegate.settings.loading import load_settings
from tidegate.settings.settings import Settings
from tidegate.strategy.strategy import find_strategy

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

AS_OF = "2025-06-15T00:00:00Z"

# Ends the process without a chance to tidy up, as soon as a promotion comes to the named step.
KILL_AT = """
import os, signal, sys
from tidegate.cli.main import main
from tidegate.pipeline import retrain
from tidegate.registry.promotion import Promoter

def kill(*_given):
    os.kill(os.getpid(), signal.SIGKILL)

step = sys.argv.pop()
if step == "registered":
    retrain.promote = kill
carry_out = Promoter._carry_out

def killed_on_the_way(self, *given):
    self._step = lambda reached: kill() if reached == step else None
    return carry_out(self, *given)

Promoter._carry_out = killed_on_the_way
main()
"""


@dataclass
class Project:
    """A project's folder with one strategy, in which processes run; MLflow's database is shared by the tests."""

    root: Path
    name: str
    started: list["subprocess.Popen[str]"] = field(default_factory=list)

    @property
    def variables(self) -> dict[str, str]:
        return {
            "TIDEGATE_ROOT": str(self.root),
            "TIDEGATE_COMPUTE__LATENCY_SAMPLES": "50",
            "TIDEGATE_LEDGER__BUSY_TIMEOUT_S": "3",
            # Without a server: its start would be most of the test's time.
            "TIDEGATE_MLFLOW__TRACKING_URI": f"sqlite:///{self.root}/mlruns/mlflow.db",
        }

    @property
    def settings(self) -> Settings:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.variables.items():
                patch.setenv(name, value)
            return load_settings(self.root)

    @property
    def states(self) -> list[str]:
        return [run.state for run in RetrainLedger.from_settings(self.settings).runs(self.name)]

    def write(self, **changes: Any) -> None:  # noqa: ANN401  parts of a strategy file
        path = self.root / "configs" / "strategies" / f"{self.name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump({**CONTENT, "name": self.name, **changes}))

    def start(self, *program: str, last: tuple[str, ...] = ()) -> "subprocess.Popen[str]":
        """Start `tidegate retrain --direct` for the strategy, by a program of Python's."""
        command = [sys.executable, *program, "retrain", self.name, "--direct", "--json", "--as-of", AS_OF, *last]
        process = subprocess.Popen(
            command,
            cwd=self.root,
            env=os.environ | self.variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        return process

    def retrain(self) -> Outcome:
        """Retrain once more, in this process."""
        settings = self.settings
        strategy = find_strategy(self.name, settings.paths.strategies)
        return describe(retrain(make_job(strategy, settings, self.root, as_of=AS_OF)))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("project")
    give_mlflow(made)
    return made


@pytest.fixture
def project(root: Path, request: pytest.FixtureRequest) -> Iterator[Project]:
    made = Project(root, f"simulated-{request.node.name.rpartition('[')[2].strip(']')[:40]}".replace("_", "-"))
    made.write()
    yield made
    for process in made.started:
        if process.poll() is None:
            process.kill()
            process.communicate()


def wait_for(what: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 120
    while not what():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_interrupt_during_training_leaves_nothing_half_written(project: Project) -> None:
    long = CONTENT["model"] | {"max_rounds": 1500, "early_stopping_rounds": 1000, "learning_rate": 0.001}
    project.write(model=long)
    process = project.start("-m", "tidegate.cli.main")
    wait_for(lambda: any(project.root.glob(f"runs/{project.name}/*/validation/*/index.html")), process)
    time.sleep(1.5)  # features take 0.02 s: training is under way
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)

    assert process.returncode == 130, out + err
    assert {path.name for path in project.root.glob(f"runs/{project.name}/*/*")} == {"validation"}
    assert project.states == ["started", "failed"]
    assert open_promoter(project.settings).history(project.name) == []
    assert Tracking(project.settings).kind(project.name) is None

    project.write()
    again = project.retrain()

    assert again["outcome"] == "promoted"
    assert load_bundle(Path(again["report"]).parent / "bundle").manifest.strategy == project.name
    assert project.states == ["started", "failed", "started", "finished"]


@pytest.mark.parametrize(
    ("step", "before_rerun", "outcome", "production"),
    [
        pytest.param("registered", [], "promoted", 2, id="registered"),
        pytest.param(
            "production set",
            ["intent"],
            "refused",
            1,
            id="alias",
        ),
    ],
)
def test_kill_between_registration_and_promotion_is_made_good_by_the_next_run(
    project: Project, step: str, before_rerun: list[str], outcome: str, production: int
) -> None:
    (project.root / "kill.py").write_text(KILL_AT)
    process = project.start("kill.py", last=(step,))
    out, err = process.communicate(timeout=200)
    assert process.returncode == -signal.SIGKILL, out + err

    promoter = open_promoter(project.settings)
    assert Tracking(project.settings).versions(project.name) == [1]
    assert [row.state for row in promoter.history(project.name)] == before_rerun
    assert project.states == ["started"]

    again = project.retrain()

    assert (again["outcome"], again["version"]) == (outcome, 2)
    state = promoter.ledger.state(project.name)
    assert (state.current, state.open_intent) == (production, None)
    assert promoter.versions.alias(project.name, "production") == production
    assert project.states == ["started", "started", "finished"]
