"""Promotion with real processes, a real MLflow server, and both databases: races, kills and stalls.

Each act runs in a process of its own. They are forked from a server process that has already imported mlflow, since importing it takes
seconds.
"""

import contextlib
import multiprocessing as mp
import os
import signal
import time
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.registry_factories import FEATURES, decision, write_bundle
from tests.servers import mlflow_server, postgresql

from tidegate.errors import LedgerError, PromotionConflict, PromotionRefused
from tidegate.keys.signing import Signer
from tidegate.keys.state import SignedState, decode
from tidegate.registry.database import Database
from tidegate.registry.ledger import Ledger
from tidegate.registry.promotion import Promoter
from tidegate.registry.repair import repair
from tidegate.registry.tracking import Tracking
from tidegate.settings.settings import Mlflow, Settings

pytestmark = [pytest.mark.servers, pytest.mark.slow, pytest.mark.timeout(600)]

BEFORE_THE_COMMIT = [
    "intent written",
    "fence passed",
    "announced",
    "signed",
    "previous set",
    "production set",
    "aliases verified",
    "closing row written",
]
AFTER_THE_COMMIT = ["committed", "published", "settled"]
ACTOR, REASON = "ann", "test"
SIGNER = Signer(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))  # the same one in every process

context = mp.get_context("forkserver")
context.set_forkserver_preload(["mlflow.tracking", "tests.integration.registry.test_processes"])

Step = Callable[[str], None]


@pytest.fixture(scope="module")
def mlflow_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with mlflow_server(tmp_path_factory.mktemp("mlflow")) as address:
        yield address


@pytest.fixture(scope="module")
def postgresql_url() -> Iterator[str]:
    with postgresql() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/ledger.db"
    return str(request.getfixturevalue("postgresql_url"))


class Place:
    """A strategy with registered versions, its ledger, and processes that act on it."""

    def __init__(self, mlflow_address: str, ledger_url: str, folder: Path, versions: int) -> None:
        self.strategy = f"eurusd-{time.time_ns()}"
        self.tracking = tracking_at(mlflow_address)
        self.ledger = Ledger(Database(ledger_url, busy_timeout_s=2))
        self.arguments = (mlflow_address, ledger_url, self.strategy)
        for number in range(1, versions + 1):
            made = write_bundle(folder / f"bundle-{number}", strategy=self.strategy, seed=number)
            with self.tracking.start_run(self.strategy, f"run {number}") as run:
                run.decision(decision(made))
                self.tracking.register(folder / f"bundle-{number}", run, FEATURES, description="test")

    @property
    def promoter(self) -> Promoter:
        return Promoter(self.ledger, self.tracking, SIGNER)

    def promote(self, version: int, champion: int | None) -> None:
        judged = self.tracking.decision(self.strategy, version)
        self.promoter.promote(self.strategy, version, judged, actor=ACTOR, reason=REASON, champion=champion)

    def start(self, target: Callable[..., None], *arguments: object) -> BaseProcess:
        process = context.Process(target=target, args=(*self.arguments, *arguments))
        process.start()
        return process

    def aliases(self) -> tuple[int | None, int | None]:
        return tuple(self.tracking.alias(self.strategy, alias) for alias in ("production", "previous"))  # type: ignore[return-value]

    def published(self) -> SignedState:
        """What serving processes are told."""
        return decode(self.tracking.signed_state(self.strategy) or "", SIGNER.verifier(), self.strategy)

    def digests(self, *versions: int) -> set[str]:
        return {self.tracking.verified_manifest(self.strategy, version).digest() for version in versions}

    def states(self) -> list[str]:
        return [row.state for row in self.ledger.rows(self.strategy)]


def tracking_at(address: str) -> Tracking:
    return Tracking(Settings(mlflow=Mlflow(tracking_uri=address, timeout_s=20, retries=1)))


def act(mlflow_address: str, ledger_url: str, strategy: str, name: str, version: int | None, *, step: Step) -> None:
    """Promote or roll back, in a process of its own. Exit code 0: done, 5: refused or lost."""
    tracking = tracking_at(mlflow_address)
    ledger = Ledger(Database(ledger_url, busy_timeout_s=60))
    promoter = Promoter(ledger, tracking, SIGNER, on_step=step)
    try:
        if name == "promote" and version is not None:
            promoter.promote(
                strategy, version, tracking.decision(strategy, version), actor=ACTOR, reason=REASON, champion=1
            )
        else:
            promoter.rollback(strategy, actor=ACTOR, reason=REASON)
    except PromotionRefused as refused:
        os._exit(refused.exit_code)
    os._exit(0)


def act_until(*arguments: Any) -> None:  # noqa: ANN401
    *rest, sent, name = arguments

    def step(reached: str) -> None:
        if reached == name:
            os.kill(os.getpid(), sent)

    act(*rest, step=step)


def act_together(*arguments: Any) -> None:  # noqa: ANN401
    *rest, start = arguments
    assert isinstance(start, Barrier)
    start.wait(60)
    act(*rest, step=lambda _step: None)


def wait_until_stopped(process: BaseProcess) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T":
            return
        time.sleep(0.02)
    pytest.fail("the process did not stop at the step")


@contextlib.contextmanager
def stalled(place: Place, name: str, version: int | None, step: str) -> Iterator[BaseProcess]:
    process = place.start(act_until, name, version, signal.SIGSTOP, step)
    try:
        wait_until_stopped(process)
        yield process
    finally:
        if process.is_alive() and process.pid is not None:
            os.kill(process.pid, signal.SIGCONT)
        process.join(60)


def test_only_one_of_many_promotions_wins(mlflow_address: str, ledger_url: str, tmp_path: Path) -> None:
    place = Place(mlflow_address, ledger_url, tmp_path, versions=5)
    place.promote(1, None)
    start = context.Barrier(4)
    processes = [place.start(act_together, "promote", version, start) for version in (2, 3, 4, 5)]
    for process in processes:
        process.join(120)
    assert sorted(process.exitcode or 0 for process in processes) == [0, 5, 5, 5]
    winner = 2 + [process.exitcode for process in processes].index(0)
    assert place.aliases() == (winner, 1)
    assert place.ledger.state(place.strategy).current == winner
    assert place.states() == ["intent", "committed"] * 2
    place.ledger.verify()


# Nothing is announced before a promotion moves the alias, so that step is one with the fence.
@pytest.mark.parametrize("step", [step for step in BEFORE_THE_COMMIT + AFTER_THE_COMMIT if step != "announced"])
def test_a_killed_promotion_is_repaired(mlflow_address: str, ledger_url: str, tmp_path: Path, step: str) -> None:
    place = Place(mlflow_address, ledger_url, tmp_path, versions=2)
    place.promote(1, None)
    process = place.start(act_until, "promote", 2, signal.SIGKILL, step)
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    moved = step in BEFORE_THE_COMMIT[BEFORE_THE_COMMIT.index("production set") :] + AFTER_THE_COMMIT
    assert place.aliases()[0] == (2 if moved else 1)
    if step in BEFORE_THE_COMMIT:
        assert place.states() == ["intent", "committed", "intent"], "the kill must come before the commit"
    told = 2 if step in {"published", "settled"} else 1
    assert place.published().production_version == told, "services go by the state before until the act is published"
    repair(place.promoter, place.strategy)
    assert place.aliases() == ((2, 1) if moved else (1, None))
    assert place.published().production_version == place.aliases()[0]
    assert place.ledger.state(place.strategy).current == (2 if moved else 1)
    assert place.states() == ["intent", "committed", "intent", "committed" if moved else "aborted"]
    rows = place.ledger.rows(place.strategy)
    again = repair(place.promoter, place.strategy)
    assert (again.rows, again.alerts, again.published, again.signed) == ([], [], False, False)
    assert place.ledger.rows(place.strategy) == rows
    place.ledger.verify()


@pytest.mark.parametrize("step", BEFORE_THE_COMMIT)
def test_a_killed_rollback_is_finished(mlflow_address: str, tmp_path: Path, step: str) -> None:
    place = Place(mlflow_address, f"sqlite:///{tmp_path}/ledger.db", tmp_path, versions=2)
    place.promote(1, None)
    place.promote(2, 1)
    process = place.start(act_until, "rollback", None, signal.SIGKILL, step)
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert place.states()[4:] == ["intent"], "the kill must come before the commit"
    told = place.published()
    if place.aliases()[0] == 1:
        assert set(told.barred) == place.digests(2), "no service may find the alias moved without the bar"
    repair(place.promoter, place.strategy)
    told = place.published()
    assert (told.production_version, set(told.barred)) == (1, place.digests(2))
    assert place.aliases() == (1, None)
    assert place.ledger.state(place.strategy).barred == {2}
    assert repair(place.promoter, place.strategy).rows == []
    place.ledger.verify()


def test_a_stalled_promoter_that_was_overtaken_loses(mlflow_address: str, ledger_url: str, tmp_path: Path) -> None:
    place = Place(mlflow_address, ledger_url, tmp_path, versions=3)
    place.promote(1, None)
    with stalled(place, "promote", 2, "intent written") as process:
        with pytest.raises(PromotionConflict, match="under way"):
            place.promote(3, 1)
        repair(place.promoter, place.strategy)
        place.promote(3, 1)
    assert process.exitcode == PromotionConflict.exit_code
    assert place.aliases() == (3, 1)
    assert place.ledger.state(place.strategy).current == 3


def test_a_stalled_promoter_that_holds_the_lock_cannot_be_overtaken(
    mlflow_address: str, ledger_url: str, tmp_path: Path
) -> None:
    place = Place(mlflow_address, ledger_url, tmp_path, versions=3)
    place.promote(1, None)
    with stalled(place, "promote", 2, "previous set") as process:
        with pytest.raises(LedgerError, match="held by another writer"):
            repair(place.promoter, place.strategy)
        with pytest.raises(LedgerError, match="held by another writer"):
            place.promote(3, 1)
    assert process.exitcode == 0
    assert place.aliases() == (2, 1)
    assert place.ledger.state(place.strategy).current == 2


def test_mlflow_going_down_is_told_and_leaves_nothing_half_done(ledger_url: str, tmp_path: Path) -> None:
    with mlflow_server(tmp_path / "mlflow") as address:
        place = Place(address, ledger_url, tmp_path, versions=2)
        place.promote(1, None)
        judged = place.tracking.decision(place.strategy, 2)
    with pytest.raises(Exception, match=address):
        place.promoter.promote(place.strategy, 2, judged, actor=ACTOR, reason=REASON, champion=1)
    with pytest.raises(Exception, match=address):
        place.promoter.rollback(place.strategy, actor=ACTOR, reason=REASON)
    assert place.states() == ["intent", "committed"]
    assert place.ledger.state(place.strategy).halt is None
