"""The whole replay on a small market: what it decides, that it sees nothing early, and that a kill loses nothing."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
from tests.integration.replay.killed import POINTS, TRAINING, place_of
from tests.integration.replay.small_replay import digests, market, poisoned, small_plan

from tidegate.errors import ConfigurationError
from tidegate.pipeline.data import gather, prepare
from tidegate.pipeline.job import Job
from tidegate.pipeline.judge import measure_run
from tidegate.pipeline.retrain import run_folds
from tidegate.replay.plan import Plan
from tidegate.replay.replay import replay
from tidegate.replay.result import PathResult, ReplayResult
from tidegate.replay.trained import read_trained
from tidegate.replay.training import read_inputs, train_month
from tidegate.settings.settings import Paths

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def offline() -> Iterator[None]:
    """No connection can be made, and our own code cannot ask what time it is; only how long something took."""

    def asked(name: str, real: Any) -> Any:  # noqa: ANN401  a function of the time module
        def ask() -> Any:  # noqa: ANN401
            frame: FrameType | None = sys._getframe(1)
            assert frame is not None
            caller = str(frame.f_globals["__name__"])
            assert not caller.startswith("tidegate"), f"{caller} asked for time.{name}"
            return real()

        return ask

    def connect(*_args: object) -> None:
        raise AssertionError("a replay opened a connection")

    with pytest.MonkeyPatch.context() as patch:
        for name in ("time", "time_ns", "localtime", "gmtime"):
            patch.setattr(time, name, asked(name, getattr(time, name)))
        patch.setattr(socket.socket, "connect", connect)
        yield


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("whole")


@pytest.fixture(scope="module")
def whole(offline: None, place: Path) -> tuple[Plan, ReplayResult]:
    del offline
    plan = small_plan(place, "2025-08")
    return plan, replay(plan)


def deployed(result: ReplayResult) -> PathResult:
    found = result.path("deployed")
    assert found is not None
    return found


def test_models_are_promoted_rolled_back_and_expire(whole: tuple[Plan, ReplayResult]) -> None:
    first, second, third = deployed(whole[1]).months
    assert (first.outcome, first.production_before, first.production_after) == ("promoted", None, 1)
    assert (second.outcome, second.production_before, second.production_after) == ("promoted", 1, 2)
    assert [(act.kind, act.from_version, act.to_version) for act in second.acts] == [("rollback", 2, 1)]
    assert third.outcome == "refused"
    assert third.refusals[0].startswith("Sharpe ratio: is -")
    assert [(act.kind, act.from_version, act.to_version) for act in third.acts] == [("expiry", 1, None)]
    told = [(each.decision, each.version) for month in (first, second, third) for each in month.hindsight]
    assert told == [("promotion", 1), ("promotion", 2), ("rollback", 2), ("refusal", 3)]


def test_paths_share_one_axis_and_add_up(whole: tuple[Plan, ReplayResult]) -> None:
    plan, result = whole
    bars = market().between(plan.start_ms, plan.end_ms)
    for path in result.paths:
        assert path.closed_at.tolist() == bars.closed_at.tolist()
        assert sum(month.live.net_return for month in path.months) == pytest.approx(
            path.summary.total_return, abs=1e-12
        )
    hold, flat = result.path("hold"), result.path("flat")
    assert hold is not None
    assert flat is not None
    cost = plan.strategy.costs.side_bps / 10_000
    assert hold.summary.total_return == pytest.approx(bars.close[-1] / bars.open[0] - 1.0 - cost, abs=1e-12)
    assert flat.summary.total_return == 0.0


def test_an_expired_version_trades_no_more(whole: tuple[Plan, ReplayResult]) -> None:
    path = deployed(whole[1])
    expired_at = path.months[2].acts[0].at_ms
    assert (path.net_return[path.closed_at > expired_at] == 0.0).all()
    assert np.any(path.net_return[(path.closed_at > path.months[2].as_of_ms) & (path.closed_at <= expired_at)] != 0.0)


def test_the_result_comes_back_from_json(whole: tuple[Plan, ReplayResult]) -> None:
    text = whole[1].to_json()
    assert ReplayResult.from_json(text).to_json() == text


def test_a_shorter_replay_is_the_beginning_of_a_longer_one_bit_for_bit(
    whole: tuple[Plan, ReplayResult], tmp_path: Path
) -> None:
    """Its source holds other values from its last moment on, too."""
    plan, result = whole
    short = small_plan(tmp_path, "2025-07", poisoned(market(), plan.months[1].end_ms))
    found = replay(short)
    assert found.training.months == 2
    before, after = digests(short.folder), digests(plan.folder)
    compared = [name for name in before if name.startswith(("months/", "paths/"))]
    assert {name.split("/")[0] for name in compared} == {"months", "paths"}
    assert {name: after.get(name) for name in compared} == {name: before[name] for name in compared}
    count = len(deployed(found).net_return)
    assert deployed(result).net_return[:count].tobytes() == deployed(found).net_return.tobytes()


def test_training_reads_no_bar_that_closed_later(whole: tuple[Plan, ReplayResult], tmp_path: Path) -> None:
    """Files of later months are no Parquet at all here, and the month comes out the same."""
    plan, month = whole[0], whole[0].months[1]
    copy = tmp_path / plan.folder.name
    shutil.copytree(plan.folder, copy, ignore=shutil.ignore_patterns("paths", "months"))
    for later in (copy / "bars" / "btcusdt").glob("month=*.parquet"):
        if later.name >= f"month={month.name}":
            later.write_bytes(b"not for the past to see")
    folder = Path(train_month(str(copy / "months" / month.name)))
    assert digests(folder) == digests(plan.folder / "months" / folder.name)


@pytest.fixture(scope="module")
def killed(whole: tuple[Plan, ReplayResult], place: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder a point, each of a replay that was killed there; months are trained already but for the point that needs training."""
    folder, source = tmp_path_factory.mktemp("killed"), whole[0].folder
    for point in POINTS:
        ignored = ("paths", "2025-07-*") if point == TRAINING else ("paths",)
        copy = place_of(folder, point) / source.relative_to(place)
        shutil.copytree(source, copy, ignore=shutil.ignore_patterns(*ignored))
    command = [sys.executable, "-m", "tests.integration.replay.killed", str(folder)]
    environment = dict(os.environ) | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=environment)
    assert done.stdout.splitlines() == [f"{signal.SIGKILL.value} {point}" for point in POINTS], done.stderr
    return folder


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_replay_goes_on_where_it_was(
    point: str, killed: Path, whole: tuple[Plan, ReplayResult], place: Path
) -> None:
    source, own = whole[0].folder, place_of(killed, point)
    folder = own / source.relative_to(place)
    before = {path: path.stat().st_mtime_ns for path in (folder / "months").glob("2025*/**/*") if path.is_file()}
    found = replay(small_plan(own, "2025-07"))
    assert found.training.trained == (1 if point == TRAINING else 0)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    after, expected = digests(folder), digests(source)
    compared = {name for name in expected if name.startswith("paths/") and "/2025-08/" not in name}
    assert {name: after.get(name) for name in compared} == {name: expected[name] for name in compared}
    assert not list(folder.rglob(".2025*"))


def test_what_is_finished_is_not_done_again(whole: tuple[Plan, ReplayResult]) -> None:
    plan, result = whole
    before = {path: path.stat().st_mtime_ns for path in plan.folder.rglob("*") if "paths" in str(path)}
    again = replay(plan)
    assert (again.training.trained, again.training.reused) == (0, 3)
    months = {path: at for path, at in before.items() if path.is_file()}
    assert {path: path.stat().st_mtime_ns for path in months} == months
    assert [path.months for path in again.paths] == [path.months for path in result.paths]


def test_two_replays_do_not_share_a_folder(whole: tuple[Plan, ReplayResult]) -> None:
    plan = whole[0]
    told: list[str] = []

    def meanwhile(what: str, _done: int, _of: int) -> None:
        if not told:
            with pytest.raises(ConfigurationError, match="another replay is working in"):
                replay(plan)
        told.append(what)

    replay(plan, on_month=meanwhile)
    assert told


def test_a_month_without_enough_history_is_on_record_as_failed(tmp_path: Path) -> None:
    bars = market()
    late = bars.take(bars.opened_at >= bars.opened_at[0] + 70 * 86_400_000)
    plan = small_plan(tmp_path, "2025-06", late)
    found = replay(plan)
    month = deployed(found).months[0]
    assert (month.outcome, month.version, month.production_after) == ("failed", None, None)
    assert "too few bars for one fold" in month.refusals[0]
    assert found.training.failed == 1


def test_gates_and_rollback_rules_train_nothing_anew(whole: tuple[Plan, ReplayResult], place: Path) -> None:
    other = small_plan(place, "2025-07", rollback={"sequential_action": "alert"})
    assert other.folder == whole[0].folder
    found = replay(other)
    assert found.training.trained == 0
    assert not deployed(found).months[1].acts


def test_a_month_is_what_a_retrain_of_production_would_have_trained(
    whole: tuple[Plan, ReplayResult], tmp_path: Path
) -> None:
    """That one reads all history there is, keeps it in a store, and writes data docs."""
    plan, month = whole[0], whole[0].months[1]
    paths = Paths(data=tmp_path / "data", runs=tmp_path / "runs", cache=tmp_path / "cache")
    settings = plan.settings.model_copy(update={"paths": paths})
    job = Job(plan.strategy, settings, plan.root, month.as_of_ms, plan.end_ms, "test")
    gathered = gather(job)
    prepared = prepare(job, gathered)
    measured = measure_run(job, gathered, prepared, run_folds(job, prepared))
    trained = read_trained(plan.folder / "months" / read_inputs(plan.folder, month.name).name)
    for name in ("onnx", "ubj", "golden"):
        assert getattr(trained.bundle, name) == getattr(measured.bundle, name)
    for name in ("policy", "calibration", "windows", "out_of_sample", "regimes", "reference", "expires_at"):
        assert getattr(trained.bundle.manifest, name) == getattr(measured.bundle.manifest, name)
    judged_elsewhere = {"latency_p95_ms", "permuted_labels", "validation_passed"}
    kept, own = trained.measured().measurements, measured.measurements
    assert kept.keys() == own.keys()
    assert {name: repr(kept[name].value) for name in kept.keys() - judged_elsewhere} == {
        name: repr(own[name].value) for name in own.keys() - judged_elsewhere
    }


def test_a_rule_on_returns_looks_back_into_the_month_before(whole: tuple[Plan, ReplayResult], place: Path) -> None:
    rules = {"sequential_action": "alert", "sharpe_action": "roll_back", "sharpe_window_days": 20}
    second = deployed(replay(small_plan(place, "2025-07", rollback=rules))).months[1]
    (act,) = second.acts
    assert (act.kind, act.from_version, act.to_version) == ("rollback", 2, 1)
    assert act.reason.startswith("annual Sharpe ratio of 20 days is -")
    assert act.at_ms == whole[0].months[1].as_of_ms + 20 * 86_400_000


def test_a_month_s_name_tells_all_that_went_in(whole: tuple[Plan, ReplayResult], tmp_path: Path) -> None:
    plan, month = whole[0], whole[0].months[0].name
    copy = tmp_path / "copy"
    shutil.copytree(plan.folder, copy, ignore=shutil.ignore_patterns("paths", "months"))
    assert read_inputs(copy, month).name == read_inputs(plan.folder, month).name
    path = copy / "configuration.json"
    path.write_text(path.read_text().replace('"max_depth": 2', '"max_depth": 3'))
    assert read_inputs(copy, month).name != read_inputs(plan.folder, month).name
