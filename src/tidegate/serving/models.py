"""What every strategy serves, kept in step with the registry: polling in the background, swaps by one assignment in the event loop.

The registry, the disk and the checks are slow, so they run in one worker thread. Requests only ever read `slot`, which costs nothing and is
whole at every moment.
"""

import asyncio
import logging
import platform
import random
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

from tidegate.errors import ConfigurationError
from tidegate.keys.signing import Verifier
from tidegate.logs.ids import bound
from tidegate.serving.clock import Clock
from tidegate.serving.instances import Instance
from tidegate.serving.loading import Loader
from tidegate.serving.metrics import Metrics
from tidegate.serving.registry_client import RegisteredModel, RegistryClient
from tidegate.serving.served import Refusal, ServedModel, Slot
from tidegate.settings.settings import Settings

__all__ = ["Models", "RefreshResult", "Slot"]

log = logging.getLogger(__name__)

_JITTER: Final = 0.1
_SIGN_OFF_S: Final = 2.0
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class RefreshResult:
    """What one look at the registry came to.

    Attributes:
        strategy: the strategy.
        reached: whether the registry answered.
        changed: whether another model serves, or predicts beside it, than before the look.
        production: the version that serves now.
        challenger: the version that predicts beside it.
        halt: why nothing may be held.
        refused: why the registry's word is not followed.
        notes: what else is worth telling, by subject.
    """

    strategy: str
    reached: bool
    changed: bool
    production: int | None
    challenger: int | None
    halt: str | None
    refused: str | None
    notes: dict[str, str]


class Models:
    """The slots of all strategies that `serving.strategies` names.

    Args:
        settings: `serving` and `signing`.
        metrics: told of every change.
        clock: judges expiry.
        instance: name of this process; empty is `serving.instance`, or host name and port.
        ready: whether this process takes requests, as other processes are told.

    Raises:
        ConfigurationError: no strategy is named, the registry's address or a key file cannot be used, or signatures are required and no
            key is named.
    """

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        clock: Clock,
        *,
        instance: str = "",
        ready: Callable[[], bool] | None = None,
    ) -> None:
        serving = settings.serving
        if not serving.strategies:
            raise ConfigurationError(
                "no strategy is to be served", expected="at least one", setting="serving.strategies"
            )
        self._serving = serving
        self._metrics = metrics
        self._slots = {name: Slot(name) for name in serving.strategies}
        self._client = RegistryClient(settings)
        self._loader = Loader(settings, clock, self._client, _verifier(settings))
        name = instance or serving.instance or f"{platform.node()}:{serving.port}"
        self.instance = Instance(self._client, name, serving.address or f"http://{serving.host}:{serving.port}")
        self._ready = ready or self._all_loaded
        self._callbacks: list[Callable[[Slot], None]] = []
        self._told: set[tuple[str, Refusal]] = set()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="tidegate-models")
        self._one_at_a_time = asyncio.Lock()
        # Replicas that start together shall not ask together for ever; a name's own sequence needs no global chance.
        self._chance = random.Random(name)  # noqa: S311  spreads load, hides nothing
        self._tasks: set[asyncio.Task[object]] = set()

    def slot(self, strategy: str) -> Slot:
        """What a strategy has now.

        Raises:
            KeyError: it is not served here.
        """
        return self._slots[strategy]

    def slots(self) -> list[Slot]:
        """The slots of all strategies."""
        return list(self._slots.values())

    def on_change(self, callback: Callable[[Slot], None]) -> None:
        """Have a function called in the event loop after each change of a model or a halt, with the new slot."""
        self._callbacks.append(callback)

    async def start(self) -> None:
        """Load what the disk holds, then wait for the registry's word, at most `serving.start_wait_s`; then poll in the background.

        A registry that is down or slow delays nothing beyond that and is no error.
        """
        for name in self._slots:
            self._assign(await self._work(partial(self._loader.from_cache, name)))
        first = self._task(self._first_look())
        await asyncio.wait({first}, timeout=self._serving.start_wait_s)
        self._task(self._poll(first))

    async def refresh(self, strategy: str | None = None) -> list[RefreshResult]:
        """Look at the registry now; after the look that is under way, if one is.

        Args:
            strategy: only this one; None looks for all.
        Raises:
            KeyError: the strategy is not served here.
        """
        names = list(self._slots) if strategy is None else [self._slots[strategy].strategy]
        # Whoever asked may leave meanwhile; the look is finished nevertheless.
        return await asyncio.shield(self._task(self._refresh_all(names, at_once=True)))

    async def stop(self) -> None:
        """Stop polling, and sign this instance off if the registry answers soon."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._client.close()
        slots = self.slots()
        signing_off = asyncio.ensure_future(self._work(lambda: self.instance.end(slots)))
        await asyncio.wait({signing_off}, timeout=_SIGN_OFF_S)
        signing_off.cancel()
        self._worker.shutdown(wait=False, cancel_futures=True)

    async def _first_look(self) -> list[RefreshResult]:
        async with self._one_at_a_time:
            await self._work(self.instance.begin)
            self._show_start()
        return await self._refresh_all(list(self._slots), at_once=False)

    def _show_start(self) -> None:
        known = self.instance.after_sign_off
        self._metrics.start_after_sign_off.set(-1 if known is None else known)

    async def _poll(self, first: asyncio.Task[list[RefreshResult]]) -> None:
        await first
        while True:
            await asyncio.sleep(self._serving.poll_s * self._chance.uniform(1 - _JITTER, 1 + _JITTER))
            await self._refresh_all(list(self._slots), at_once=False)

    async def _refresh_all(self, names: list[str], *, at_once: bool) -> list[RefreshResult]:
        async with self._one_at_a_time:
            # Halts and bars of all strategies first: no download of one is to hold up another's.
            before = [self._slots[name] for name in names]
            found = [await self._looked(name) for name in names]
            results = [
                await self._refresh_one(slot, model, at_once=at_once) for slot, model in zip(before, found, strict=True)
            ]
            if any(result.reached for result in results):
                await self._tell_others()
        return results

    async def _tell_others(self) -> None:
        try:
            await self._work(partial(self.instance.tell, self.slots(), ready=self._ready()))
            self._show_start()
        except Exception:
            # Whatever others are told or not, polling goes on.
            log.exception("instance %s could not be registered", self.instance.name)

    async def _looked(self, name: str) -> RegisteredModel | None:
        """Follow the registry's signed state, and give what else it says; None where there is nothing to follow."""
        try:
            with bound(strategy=name):
                slot, model = await self._work(partial(self._loader.look, self._slots[name].noted("look", None)))
        except Exception as error:
            log.exception("the look for %s failed", name)
            self._assign(self._slots[name].noted("look", f"the last look failed: {type(error).__name__}"))
            return None
        self._assign(slot)
        return model

    async def _refresh_one(self, before: Slot, model: RegisteredModel | None, *, at_once: bool) -> RefreshResult:
        name = before.strategy
        try:
            if model is not None:
                with bound(strategy=name):
                    await self._load(self._slots[name], model, at_once=at_once)
        except Exception as error:
            # The border of the worker's thread: what one strategy's look came to must not keep the others from theirs.
            log.exception("the look for %s failed", name)
            self._assign(self._slots[name].noted("look", f"the last look failed: {type(error).__name__}"))
        slot = self._slots[name]
        return RefreshResult(
            strategy=name,
            reached="registry" not in slot.notes,
            changed=slot.production is not before.production or slot.challenger is not before.challenger,
            production=None if slot.production is None else slot.production.version,
            challenger=None if slot.challenger is None else slot.challenger.version,
            halt=slot.halt,
            refused=slot.refused,
            notes=dict(slot.notes),
        )

    async def _load(self, slot: Slot, model: RegisteredModel, *, at_once: bool) -> None:
        loader = self._loader
        slot = await self._work(partial(loader.production, slot, model, at_once=at_once))
        self._assign(slot)
        self._assign(await self._work(partial(loader.challenger, slot, model, at_once=at_once)))

    def _assign(self, slot: Slot) -> None:
        old = self._slots[slot.strategy]
        self._slots[slot.strategy] = slot
        self._tell_refusal(slot)
        self._tell_swaps(old, slot)
        _show(self._metrics, slot)
        if _unchanged(old, slot):
            return
        for callback in self._callbacks:
            try:
                callback(slot)
            except Exception:
                # Whoever listens must not keep the others from hearing.
                log.exception("a listener failed on a change of %s", slot.strategy)

    def _tell_refusal(self, slot: Slot) -> None:
        refusal = slot.refused_version
        if refusal is None or (slot.strategy, refusal) in self._told:
            return
        self._told.add((slot.strategy, refusal))
        self._metrics.reloads.labels(slot.strategy, "refused").inc()
        log.warning("%s: %s", slot.strategy, refusal)

    def _tell_swaps(self, old: Slot, slot: Slot) -> None:
        for role, was, now in (
            ("production", old.production, slot.production),
            ("shadow", old.challenger, slot.challenger),
        ):
            if was is now:
                continue
            result = "removed" if now is None else "loaded"
            self._metrics.reloads.labels(slot.strategy, result if role == "production" else f"shadow_{result}").inc()
            ids = {"strategy": slot.strategy, "version": None if now is None else now.version}
            log.info("%s: %s: %s -> %s", slot.strategy, role, _named(was), _named(now), extra=ids)
        if old.halt != slot.halt:
            log.warning("%s: %s", slot.strategy, "no longer halted" if slot.halt is None else f"halted: {slot.halt}")

    def _all_loaded(self) -> bool:
        return all(slot.production is not None or slot.halt is not None for slot in self._slots.values())

    async def _work(self, job: Callable[[], _T]) -> _T:
        # In the context of who asks, so that the worker's lines have the strategy too.
        return await asyncio.get_running_loop().run_in_executor(self._worker, copy_context().run, job)

    def _task(self, job: Coroutine[object, object, _T]) -> asyncio.Task[_T]:
        task = asyncio.get_running_loop().create_task(job)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _verifier(settings: Settings) -> Verifier | None:
    if settings.signing.public_key_files:
        return Verifier.from_files(settings.signing.public_key_files)
    if settings.serving.allow_unsigned:
        return None
    raise ConfigurationError(
        "no public key is named, so no model could ever be served",
        expected="at least one file",
        setting="signing.public_key_files",
        next_step="name the key of the pipeline; for a trial without keys set serving.allow_unsigned",
    )


def _show(metrics: Metrics, slot: Slot) -> None:
    for role, model in (("production", slot.production), ("shadow", slot.challenger)):
        labels = (slot.strategy, role)
        metrics.model_version.labels(*labels).set(0 if model is None else model.version)
        metrics.model_loaded_at.labels(*labels).set(0 if model is None else model.loaded_at / 1000)
        metrics.model_expires_at.labels(*labels).set(0 if model is None else model.expires_at / 1000)
    metrics.halted.labels(slot.strategy).set(slot.halt is not None)
    metrics.refused_version.labels(slot.strategy).set(
        0 if slot.refused_version is None else slot.refused_version.version
    )
    if slot.registry_reached_at is not None:
        metrics.registry_reached_at.set(slot.registry_reached_at / 1000)


def _unchanged(old: Slot, new: Slot) -> bool:
    models = ((old.production, new.production), (old.before, new.before), (old.challenger, new.challenger))
    return old.halt == new.halt and all(was is now for was, now in models)


def _named(model: ServedModel | None) -> str:
    return "nothing" if model is None else f"v{model.version} ({model.digest[:12]}, from {model.origin})"
