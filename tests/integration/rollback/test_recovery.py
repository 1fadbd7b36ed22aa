"""From a decision to the last serving process that answers with the old version, with a real MLflow and real processes; and what a halt does there."""

import json
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.e2e.serving_process import Serving
from tests.servers import free_port, mlflow_server
from tests.unit.model.small_model import small_files, small_manifest

from tidegate.keys.api_keys import ApiKeys, new_key
from tidegate.keys.signing import Signer
from tidegate.model.bundle import write_bundle
from tidegate.registry.events import EventLedger
from tidegate.registry.ledger import Ledger
from tidegate.registry.promotion import Promoter
from tidegate.registry.tracking.versions import Tracking
from tidegate.rollback.act import carry_out, roll_back
from tidegate.rollback.automatic import read_situation
from tidegate.rollback.decision import decide
from tidegate.rollback.finding import Finding
from tidegate.rollback.incidents import open_incidents
from tidegate.rollback.procedure import Procedure, open_procedure
from tidegate.rollback.verification import Verification
from tidegate.settings.operations import Watch
from tidegate.settings.settings import Mlflow, Paths, Settings
from tidegate.strategy.strategy import Rollback

pytestmark = [pytest.mark.slow, pytest.mark.servers]

NAME = "small"
FAR_MS = 10**14
RULES = Rollback(cooldown_minutes=0)
CHECKLIST_S = 300


@dataclass
class Place:
    """An installation with three versions in its history and two serving processes."""

    settings: Settings
    procedure: Procedure
    serving: tuple[Serving, Serving]

    def fire(self) -> Verification:
        finding = Finding("errors", "roll_back", "fired", 1.0, 0.05, "fraction", 60, None, "all fail", "never")
        ledger, events = self.procedure.promoter.ledger, self.procedure.events
        made = decide([finding], read_situation(ledger, events, NAME, RULES, acting_allowed=True))
        report = carry_out(made, self.procedure, RULES, actor="test", acting_allowed=True)
        assert report.changed
        assert report.verification is not None
        return report.verification


def key_of(folder: Path) -> Path:
    """Keys that the processes ask for; the file with the watch's own key."""
    text, key = new_key("watch", ["admin", "metrics"], created_at=0)
    ApiKeys([key]).write(folder / "keys.yaml")
    path = folder / "watch.key"
    path.write_text(text + "\n")
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("recovery")
    signer = Signer.new()
    (folder / "public.pem").write_bytes(signer.public_pem())
    with ExitStack() as stack:
        address = stack.enter_context(mlflow_server(folder / "mlflow"))
        settings = Settings(
            paths=Paths(data=folder / "data", runs=folder / "runs", strategies=folder),
            mlflow=Mlflow(tracking_uri=address),
            watch=Watch(api_key_file=key_of(folder)),
        )
        tracking = Tracking(settings)
        promoter = Promoter(Ledger.from_settings(settings), tracking, signer)
        files = small_files()
        for seed in (1, 2, 3):
            manifest = small_manifest(files, expires_at=FAR_MS, seed=seed, created_at=seed)
            write_bundle(folder / f"bundle-{seed}", manifest, files)
            with tracking.start_run(NAME, f"run {seed}") as run:
                names = [spec.name for spec in manifest.features]
                version = tracking.register(folder / f"bundle-{seed}", run, names, description="test")
            before = promoter.current(NAME)
            promoter.promote(NAME, version, None, actor="ann", reason="told", champion=before, override=True)
        changes = {
            "clock": "system",
            "allow_unsigned": "false",
            "poll_s": 3600,
            "api_keys_file": folder / "keys.yaml",
        }
        os.environ["TIDEGATE_SIGNING__PUBLIC_KEY_FILES"] = str(folder / "public.pem")
        try:
            both = [Serving(folder, address, free_port(), NAME, name, **changes) for name in ("one", "two")]
            with ThreadPoolExecutor(2) as pool:
                one, two = pool.map(stack.enter_context, both)
        finally:
            del os.environ["TIDEGATE_SIGNING__PUBLIC_KEY_FILES"]
        yield Place(settings, open_procedure(settings, promoter=promoter), (one, two))


def test_the_last_process_follows_long_before_the_checklists_limit(place: Place) -> None:
    found = place.fire()
    print(f"\nfrom the act to the last of 2 processes on v2: {found.took_s:.2f} s")  # noqa: T201  the figure is what the test is for
    assert (found.verdict, found.version) == ("verified", 2), found.content()
    assert {one.instance for one in found.instances} == {"one", "two"}
    (verified,) = place.procedure.events.rows(NAME, kinds=["verification"])
    acted = open_incidents(place.procedure.events, NAME)[0].content["acted_at"]
    assert (verified.created_at - acted) / 1000 < CHECKLIST_S
    print(f"from the ledger's row to the verification on record: {(verified.created_at - acted) / 1000:.2f} s")  # noqa: T201
    assert place.procedure.promoter.ledger.state(NAME).barred == {3}


def test_a_process_that_hangs_is_named_and_the_other_follows(place: Place) -> None:
    hung = place.serving[1].process
    hung.send_signal(signal.SIGSTOP)
    try:
        procedure = open_procedure(place.settings, promoter=place.procedure.promoter, deadline_s=3.0)
        found = roll_back(procedure, NAME, actor="ann", reason="told", watch_minutes=1, leaving=9).verification
    finally:
        hung.send_signal(signal.SIGCONT)
    assert found is not None
    assert (found.verdict, found.behind) == ("not_verified", ("two",))
    assert {one.instance: one.state for one in found.instances} == {"one": "followed", "two": "behind"}


def test_the_second_failure_halts_everywhere(place: Place) -> None:
    found = place.fire()
    print(f"\nfrom the act to the last of 2 processes halted: {found.took_s:.2f} s")  # noqa: T201
    assert (found.verdict, found.version) == ("verified", None), found.content()
    assert [one.act for one in open_incidents(place.procedure.events, NAME)] == ["rollback", "halt"]


def test_without_the_key_nothing_is_verified(place: Place) -> None:
    keyless = place.settings.model_copy(update={"watch": Watch()})
    procedure = open_procedure(keyless, promoter=place.procedure.promoter, deadline_s=1.0)
    found = roll_back(procedure, NAME, actor="ann", reason="told", watch_minutes=1, leaving=9).verification
    assert found is not None
    assert found.behind == ("one", "two")
    assert "401" in found.instances[0].detail


def test_checks_left_no_row_in_the_prediction_log(place: Place) -> None:
    from tidegate.serving.log.reader import read

    folder = place.serving[0].output.parent / "log"
    assert list(read(folder)) == []
    events = EventLedger(place.procedure.promoter.ledger.database)
    assert json.dumps([row.content for row in events.rows(NAME)], allow_nan=False)
    assert events.verify()
