"""Which serving processes there are, and which version each one answers with: what they write about themselves in MLflow.

Each process keeps one run in the experiment `tidegate-instances`, named like the instance, with one tag `instance` that holds JSON. So whoever
deploys or rolls back can see when every process has followed.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tidegate.registry.tracking.connection import Connection
from tidegate.settings.settings import Settings

EXPERIMENT, TAG = "tidegate-instances", "instance"
ALIVE_S = 60
_RUNS_AT_ONCE = 500
_SIGNED_OFF = "FINISHED"


class ServedVersion(BaseModel):
    """A version that an instance answers with, or that predicts beside it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    strategy: str
    version: int = Field(ge=1)
    bundle_digest: str
    role: Literal["production", "shadow"]


class _Told(BaseModel):
    """The tag's content. Keys that are not known are passed over, so that older tools can read newer services."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    instance: str
    address: str
    ready: bool
    models: tuple[ServedVersion, ...]
    heartbeat_at: int = Field(ge=0)
    started_at: int = Field(ge=0)


@dataclass(frozen=True, slots=True)
class Instance:
    """One serving process.

    Attributes:
        instance: its name.
        address: where it answers.
        ready: whether it said that it can answer.
        models: the versions that it holds.
        heartbeat_at: when it last wrote, UTC ms; 0 where that cannot be read.
        started_at: when it was started, UTC ms; 0 where that cannot be read.
        alive: its heartbeat is not older than a minute, nor further ahead of this clock than that, and it has not signed off since.
        fault: why its entry cannot be read, None where it can. Such an instance counts as neither alive nor ready.
    """

    instance: str
    address: str
    ready: bool
    models: tuple[ServedVersion, ...]
    heartbeat_at: int
    started_at: int
    alive: bool
    fault: str | None = None

    def version(self, strategy: str, role: Literal["production", "shadow"] = "production") -> ServedVersion | None:
        """What it holds for a strategy in a role."""
        return next((model for model in self.models if (model.strategy, model.role) == (strategy, role)), None)


class Instances:
    """What serving processes write about themselves in MLflow.

    Args:
        settings: name MLflow's address.
    """

    def __init__(self, settings: Settings) -> None:
        self._connection = Connection(settings)

    def all(self, now_ms: int) -> list[Instance]:
        """All instances by name, those that have died included; of two entries with one name the newer one counts.

        Args:
            now_ms: time now, UTC ms.

        Raises:
            RegistryError: MLflow could not be reached.
        """
        newest: dict[str, Instance] = {}
        for run in self._runs():
            signed_off = str(run.info.status) == _SIGNED_OFF
            found = _instance(str(run.info.run_name), run.data.tags.get(TAG), now_ms, signed_off=signed_off)
            before = newest.get(found.instance)
            if before is None or before.heartbeat_at < found.heartbeat_at:
                newest[found.instance] = found
        return [newest[name] for name in sorted(newest)]

    def _runs(self) -> Iterable[Any]:
        with self._connection.calling("list the serving instances"):
            client, token = self._connection.client, None
            experiment = client.get_experiment_by_name(EXPERIMENT)
            if experiment is None:
                return []
            found: list[Any] = []
            while True:
                page = client.search_runs([experiment.experiment_id], max_results=_RUNS_AT_ONCE, page_token=token)
                found += page
                token = page.token
                if not token:
                    return found


def _instance(name: str, text: str | None, now_ms: int, *, signed_off: bool) -> Instance:
    if text is None:
        return _unreadable(name, f"there is no tag {TAG}")
    try:
        told = _Told.model_validate_json(text)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(map(str, fault["loc"])) or "the whole"
        return _unreadable(name, f"{where}: {fault['msg']}")
    if told.instance != name:
        return _unreadable(name, f"it names another instance, {told.instance}")
    alive = not signed_off and abs(now_ms - told.heartbeat_at) <= ALIVE_S * 1000
    return Instance(
        name, told.address, told.ready and not signed_off, told.models, told.heartbeat_at, told.started_at, alive
    )


def _unreadable(name: str, fault: str) -> Instance:
    return Instance(name, "", False, (), 0, 0, alive=False, fault=fault)
