"""Work on a real Dask cluster: in order, retried after a death, ended when interrupted, and closed to everybody else."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest
from distributed import Client, LocalCluster
from tests.integration.replay import dask_work

from flows import replay as flow
from tidegate.errors import ConfigurationError, ModelError, ServiceError
from tidegate.pipeline import fold_identity
from tidegate.pipeline.fold_identity import library_versions
from tidegate.replay import workers
from tidegate.replay.identity import LIBRARIES
from tidegate.replay.mapping import Mapper
from tidegate.replay.workers import dask_mapper
from tidegate.settings.settings import Settings

pytestmark = pytest.mark.servers
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def mapper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapper]:
    with dask_mapper(dask_work.installation(tmp_path_factory.mktemp("dask"))) as made:
        yield made


def test_results_come_in_order_from_two_processes_of_one_thread_each(mapper: Mapper) -> None:
    found = [line.split() for line in mapper(dask_work.environment, ["a", "b", "c", "d"])]
    assert [reference for reference, *_ in found] == ["a", "b", "c", "d"]
    processes = {process for _, process, *_ in found}
    assert len(processes) == 2
    assert str(os.getpid()) not in processes
    assert {(openmp, numba) for _, _, openmp, numba in found} == {("1", "1")}


def test_our_errors_come_back_whole_and_the_rest_is_given_up(mapper: Mapper) -> None:
    with pytest.raises(ModelError, match="month b cannot be trained, expected two classes, was 1; look at it"):
        list(mapper(dask_work.refused, ["b", "c"]))
    with pytest.raises(ZeroDivisionError, match="z"):
        list(mapper(dask_work.broken, ["z"]))
    assert list(mapper(dask_work.refused, ["c"])) == ["c"], "the cluster goes on"


def test_what_a_killed_process_worked_on_is_tried_again(mapper: Mapper, tmp_path: Path) -> None:
    assert list(mapper(dask_work.killed_once, [str(tmp_path / "mark")])) == ["lives"]
    assert (tmp_path / "mark").exists()


def test_what_kills_its_process_three_times_is_an_error_that_names_it(mapper: Mapper, tmp_path: Path) -> None:
    references = [str(tmp_path / name) for name in ("first", "kill", "last")]
    found = mapper(dask_work.killed_always, references)
    assert next(found) == "first"
    with pytest.raises(ServiceError, match=r"worked on \S*/kill was ended 3 times.*compute.worker_memory_gb"):
        list(found)
    assert (tmp_path / "kill").read_text() == "xxx"
    assert list(mapper(dask_work.killed_always, references[:1])) == ["first"], "the cluster goes on"


def test_what_needs_too_much_memory_is_an_error_and_takes_no_more(mapper: Mapper) -> None:
    with pytest.raises(ServiceError, match="give workers more memory"):
        list(mapper(dask_work.hungry, ["months"]))


def listening(process: psutil.Process) -> set[str]:
    """Addresses on which a process takes connections."""
    return {each.laddr.ip for each in process.net_connections() if each.status == psutil.CONN_LISTEN}


def test_ctrl_c_ends_the_workers_and_nothing_listened_beyond_the_loopback_address(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.integration.replay.dask_work", str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "working\n"
        whole = psutil.Process(process.pid)
        children = whole.children(recursive=True)
        assert len(children) >= 2
        assert set.union(*map(listening, (whole, *children))) == {"127.0.0.1"}
        time.sleep(0.5)  # until the work has begun
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert "distributed." not in errors, "no log line of Dask's between the user and the prompt"
    assert psutil.wait_procs(children, timeout=10)[1] == []


def test_a_scheduler_by_address(tmp_path: Path) -> None:
    with LocalCluster(n_workers=1, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0") as cluster:
        settings = dask_work.installation(tmp_path, dask_address=cluster.scheduler_address)
        with dask_mapper(settings) as mapper:
            assert list(mapper(dask_work.refused, ["a", "c"])) == ["a", "c"]
        assert len(cluster.scheduler_info["workers"]) == 1, "a cluster of somebody else's stays"


def test_a_scheduler_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_CONNECT_S", 1)
    settings: Settings = dask_work.installation(tmp_path, dask_address="tcp://127.0.0.1:9")
    with (
        pytest.raises(ServiceError, match=r"no Dask worker answers at tcp://127.0.0.1:9.*compute.dask_address"),
        dask_mapper(settings),
    ):
        pass


def test_an_encrypted_scheduler_without_certificates_is_refused_at_once(tmp_path: Path) -> None:
    settings: Settings = dask_work.installation(tmp_path, dask_address="tls://127.0.0.1:9")
    with (
        pytest.raises(ConfigurationError, match=r"needs certificates, expected .*CA_FILE.* was none is named"),
        dask_mapper(settings),
    ):
        pass


class OtherWorkers:
    """A client whose workers have an older library."""

    def __init__(self, name: str) -> None:
        self._name = name

    def run(self, *_given: object) -> dict[str, Any]:
        return {"tcp://10.0.0.1:1": library_versions(LIBRARIES) | {self._name: "1.26.4"}}


@pytest.mark.parametrize("name", ["numpy", "arch"])
def test_workers_with_other_libraries_are_refused(name: str) -> None:
    told = rf"worker tcp://10.0.0.1:1 has other versions of {name}.*was {name} 1.26.4"
    with pytest.raises(ServiceError, match=told):
        workers._require_same_libraries(OtherWorkers(name))


def older_there() -> None:
    """Let a worker say that its libraries are older."""
    vars(fold_identity)["version"] = lambda _name: "0.1"


def test_the_flow_asks_a_scheduler_by_address_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGATE_ROOT", str(tmp_path))
    monkeypatch.setenv("TIDEGATE_COMPUTE__DASK_ADDRESS", "tls://127.0.0.1:9")
    with pytest.raises(ConfigurationError, match="needs certificates"):
        flow.cluster()
    with LocalCluster(n_workers=1, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0") as cluster:
        monkeypatch.setenv("TIDEGATE_COMPUTE__DASK_ADDRESS", cluster.scheduler_address)
        with flow.cluster() as address:
            assert address == cluster.scheduler_address
        with Client(cluster) as client:
            client.run(older_there)
        with pytest.raises(ServiceError, match=r"other versions of .*arch.*compute.dask_address"):
            flow.cluster()
