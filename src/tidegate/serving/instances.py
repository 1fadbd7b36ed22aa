"""Tells the registry which process serves which version, so that "every instance answers with the new version" can be checked from outside.

Each process is a run of one MLflow experiment, named after the instance, with one JSON tag. Blocking: it belongs into the worker thread.
"""

import json
import logging
from collections.abc import Callable, Sequence
from typing import Any, Final

from tidegate.errors import RegistryError
from tidegate.serving.clock import wall_ms
from tidegate.serving.registry_client import RegistryClient
from tidegate.serving.served import ServedModel, Slot

log = logging.getLogger(__name__)

EXPERIMENT: Final = "tidegate-instances"
TAG: Final = "instance"
SIGNED_OFF: Final = "FINISHED"
"""Status of the run of a process that has ended in good order."""


class Instance:
    """This process as the registry sees it. That MLflow cannot be told is logged, once until it can, and is never an error.

    Args:
        client: the registry.
        name: of this process among its replicas.
        address: under which others reach it.
        now_ms: UTC ms.

    Attributes:
        after_sign_off: whether the process before of this name had signed off, so that this start is no sign of a crash; None until the registry said so.
    """

    def __init__(self, client: RegistryClient, name: str, address: str, now_ms: Callable[[], int] = wall_ms) -> None:
        self.name = name
        self.address = address
        self._client = client
        self._now_ms = now_ms
        self._started_at = now_ms()
        self._run_id: str | None = None
        self._is_silent = False
        self.after_sign_off: bool | None = None

    def begin(self) -> None:
        """Find or make this instance's run before any model is loaded: should loading kill the process, its next start follows no sign-off.

        Failing changes nothing: `tell` finds it later.
        """
        try:
            self._run_id = self._found_or_made()
        except RegistryError as error:
            log.info("instance %s is not registered yet: %s", self.name, error)

    def tell(self, slots: Sequence[Slot], *, ready: bool) -> None:
        """Write what is served now; finds this instance's run again, or makes it."""
        try:
            self._write(slots, ready=ready)
        except RegistryError as error:
            # The run or its experiment may have been deleted: the next time looks for them anew.
            self._run_id = None
            if not self._is_silent:
                log.warning(
                    "instance %s cannot be registered, which changes nothing for requests: %s", self.name, error
                )
            self._is_silent = True
        else:
            self._is_silent = False

    def end(self, slots: Sequence[Slot]) -> None:
        """Write that this instance is not ready any more, and end its run."""
        if self._run_id is None:
            return
        try:
            self._write(slots, ready=False)
            self._client.post("runs/update", {"run_id": self._run_id, "status": SIGNED_OFF, "end_time": self._now_ms()})
        except RegistryError as error:
            log.warning("instance %s cannot be signed off: %s", self.name, error)

    def _write(self, slots: Sequence[Slot], *, ready: bool) -> None:
        if self._run_id is None:
            self._run_id = self._found_or_made()
        content = {
            "instance": self.name,
            "address": self.address,
            "ready": ready,
            "models": [entry for slot in slots for entry in _models(slot)],
            "heartbeat_at": self._now_ms(),
            "started_at": self._started_at,
        }
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        self._client.post("runs/set-tag", {"run_id": self._run_id, "key": TAG, "value": text})

    def _found_or_made(self) -> str:
        experiment_id = self._experiment()
        quote = '"' if "'" in self.name else "'"
        if quote in self.name:
            raise RegistryError("the instance's name holds both kinds of quotes", setting="serving.instance")
        wanted = f"attributes.run_name = {quote}{self.name}{quote}"
        found = self._client.post(
            "runs/search", {"experiment_ids": [experiment_id], "filter": wanted, "max_results": 1}
        )
        try:
            runs = found.get("runs") or []
            if runs:
                run_id = str(runs[0]["info"]["run_id"])
                signed_off = runs[0]["info"].get("status") == SIGNED_OFF
                self._client.post("runs/update", {"run_id": run_id, "status": "RUNNING"})
                self._know(after_sign_off=signed_off)
                return run_id
            made = self._client.post(
                "runs/create",
                {"experiment_id": experiment_id, "run_name": self.name, "start_time": self._started_at},
            )
            self._know(after_sign_off=False)
            return str(made["run"]["info"]["run_id"])
        except (KeyError, TypeError, IndexError) as error:
            raise RegistryError("MLflow's answer about runs cannot be read") from error

    def _know(self, *, after_sign_off: bool) -> None:
        # Only what is found first is what the process before has left.
        if self.after_sign_off is None:
            self.after_sign_off = after_sign_off

    def _experiment(self) -> str:
        found = self._client.get("experiments/get-by-name", {"experiment_name": EXPERIMENT})
        if found is None:
            try:
                return str(self._client.post("experiments/create", {"name": EXPERIMENT})["experiment_id"])
            except RegistryError:
                # Another instance may have made it meanwhile.
                found = self._client.get("experiments/get-by-name", {"experiment_name": EXPERIMENT})
                if found is None:
                    raise
        try:
            return str(found["experiment"]["experiment_id"])
        except (KeyError, TypeError) as error:
            raise RegistryError(f"MLflow's answer about the experiment {EXPERIMENT} cannot be read") from error


def _models(slot: Slot) -> list[dict[str, Any]]:
    loaded: list[tuple[str, ServedModel | None]] = [("production", slot.production), ("shadow", slot.challenger)]
    return [
        {"strategy": slot.strategy, "version": model.version, "bundle_digest": model.digest, "role": role}
        for role, model in loaded
        if model is not None
    ]
