"""The service: questions in, durable answers out. HTTP is only its border, and every test can call it without."""

import gc
import logging
from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec
from prometheus_client import Counter, Gauge, Histogram

from tidegate.bars.bars import Bars
from tidegate.errors import LogUnavailable, ModelError
from tidegate.serving.answering import Answered, Answerer, halted_answer
from tidegate.serving.bots import Bots
from tidegate.serving.clock import make_clock, wall_ms
from tidegate.serving.description import describe_bots, describe_slot, readiness_of
from tidegate.serving.log.group import GroupCommit
from tidegate.serving.log.writer import PredictionLog
from tidegate.serving.messages import Answer, Heartbeat, Item, Position, PredictAnswer, PredictRequest
from tidegate.serving.metrics import Metrics
from tidegate.serving.models import Models, Slot
from tidegate.serving.problems import Problem
from tidegate.serving.question import newest, require_usable, window_of
from tidegate.serving.reply import Readiness, Reply
from tidegate.serving.rows import Asked, refused_answer, row_of
from tidegate.serving.served import ServedModel
from tidegate.serving.shadow import Shadow, ShadowQuestion
from tidegate.serving.windows import Windows
from tidegate.settings.settings import Settings

log = logging.getLogger(__name__)

_MOST_WINDOWS: Final = 4096
_MB: Final = 1_000_000
_SERVICES_FAULT: Final = 500
"""Least status of a problem that is not the client's."""


@dataclass(frozen=True, slots=True)
class _Outcome:
    """One symbol's outcome."""

    message: Answer
    answered: Answered | None
    status: str


class Service:
    """Everything behind the HTTP border, for one process and one event loop.

    Args:
        settings: `serving` says all that is decided here.
        instance: this process's name among its replicas.
        metrics: where the service counts.
    """

    def __init__(self, settings: Settings, instance: str, metrics: Metrics) -> None:
        serving = settings.serving
        self.instance = instance
        self.metrics = metrics
        self.bots_known = Bots(serving.max_bots, metrics)
        self._serving = serving
        self._clock = make_clock(serving.clock)
        self.models = Models(settings, metrics, self._clock, instance=instance, ready=lambda: self.readiness().ready)
        self._windows = Windows(_MOST_WINDOWS)
        self._answerers: dict[str, Answerer] = {}
        self._decode = msgspec.json.Decoder(PredictRequest).decode
        self._encode = msgspec.json.Encoder().encode
        self._counts: dict[tuple[str, int | None, str], _Counted] = {}
        self._outcome_counts: dict[tuple[str, int, str], Counter] = {}
        self._in_flight = 0
        self._group: GroupCommit | None = None
        self._shadow: Shadow | None = None
        self._stopping = False

    async def start(self) -> None:
        """Open the log, load the models, begin to look at the registry.

        Raises:
            ServiceError: another process writes the log under this instance's name, or the log cannot be written.
        """
        serving = self._serving
        prediction_log = PredictionLog(
            serving.log_folder,
            self.instance,
            segment_bytes=serving.log_segment_mb * _MB,
            max_bytes=serving.log_max_mb * _MB,
            keep_days=serving.log_keep_days,
            sync=serving.log_sync,
            now_ms=wall_ms,
        )
        self._group = GroupCommit(prediction_log, self.metrics, serving.log_unavailable)
        self._shadow = Shadow(self._group.later, self.metrics, lambda: self._in_flight > 0)
        self._shadow.start()
        await self.models.start()
        # What a process loads at its start stays; looking through all of it again and again costs up to 20 ms each time.
        gc.collect()
        gc.freeze()

    async def stop(self) -> None:
        """End after the requests under way: the log is closed, the instance signed off."""
        self._stopping = True
        await self.models.stop()
        if self._shadow is not None:
            await self._shadow.stop()
        if self._group is not None:
            self._group.close()

    def stopping(self) -> None:
        """Say at once that no new requests should come here."""
        self._stopping = True

    async def predict(self, body: bytes, request_id: str, key_id: str) -> Reply:
        """Answer a request; every answer is durable in the prediction log before this returns.

        Args:
            body: JSON of a `PredictRequest`.
            request_id: of the border; the request's own one wins.
            key_id: whose API key it is; its windows are its own.
        Raises:
            Problem: the request as a whole is refused, or its only symbol is.
        """
        received_at = wall_ms()
        self._in_flight += 1
        try:
            request = self._request(body)
            slot = self._slot(request.strategy)
            asked = Asked(request.request_id or request_id, self.instance, slot.strategy, received_at)
            try:
                outcomes = [self._outcome(item, slot, key_id, asked) for item in request.items]
                logged = await self._durable(asked, outcomes)
            except Exception:
                self._count_outcome(slot, "failed", len(request.items))
                raise
            self._count_outcomes(slot, outcomes)
            if len(outcomes) == 1 and outcomes[0].message.problem is not None:
                problem = outcomes[0].message.problem
                return Reply(problem.status, self._encode(problem))
            self._count(slot, outcomes)
            answer = PredictAnswer(
                asked.request_id, self.instance, slot.strategy, wall_ms(), logged, [one.message for one in outcomes]
            )
            return Reply(200, self._encode(answer))
        finally:
            self._in_flight -= 1

    def check(self, body: bytes, request_id: str) -> Reply:
        """Answer whole windows as `predict` would, and leave no trace: nothing is logged, kept, counted or asked of the challenger.

        So whoever deploys or rolls back can see that this process answers golden windows with the version that it should. The model that served
        before never stands in here: what is asked is whether the one in production answers.

        Args:
            body: JSON of a `PredictRequest`, without `after`.
            request_id: of the border; the request's own one wins.
        Raises:
            Problem: the request as a whole is refused, or its only symbol is.
        """
        request = self._request(body)
        slot = self._slot(request.strategy)
        asked = request.request_id or request_id
        answers = [self._check_item(item, slot, asked) for item in request.items]
        if len(answers) == 1 and answers[0].problem is not None:
            return Reply(answers[0].problem.status, self._encode(answers[0].problem))
        told = PredictAnswer(asked, self.instance, slot.strategy, wall_ms(), logged=False, answers=answers)
        return Reply(200, self._encode(told))

    def model(self) -> list[dict[str, Any]]:
        """What is served, strategy by strategy."""
        return [describe_slot(self.models.slot(name)) for name in self._serving.strategies]

    def readiness(self) -> Readiness:
        """Whether requests should be sent here."""
        slots = [self.models.slot(name) for name in self._serving.strategies]
        failure = None if self._group is None else self._group.failure
        return readiness_of(slots, failure, self._serving.log_unavailable, stopping=self._stopping)

    async def reload(self) -> list[dict[str, Any]]:
        """Look at the registry now."""
        return [msgspec.to_builtins(result) for result in await self.models.refresh(None)]

    def heartbeat(self, heartbeat: Heartbeat, key_id: str) -> None:
        """Take a bot's sign of life.

        Raises:
            Problem: more bots than are kept, or a strategy that is not served here.
        """
        self._slot(heartbeat.strategy)
        self.bots_known.take(heartbeat, key_id, wall_ms())

    def bots(self) -> list[dict[str, Any]]:
        """The bots' last signs of life."""
        return describe_bots(self.bots_known, wall_ms())

    def _request(self, body: bytes) -> PredictRequest:
        try:
            request = self._decode(body)
        except msgspec.MsgspecError as error:
            raise Problem("malformed", str(error)[:300]) from error
        except (RecursionError, UnicodeDecodeError) as error:
            raise Problem("malformed", "the body is nested too deeply or is not UTF-8") from error
        items, serving = request.items, self._serving
        if not 1 <= len(items) <= serving.max_symbols:
            raise Problem("too_many", f"1 to {serving.max_symbols} symbols are taken, {len(items)} were sent")
        if any(len(item.bars.opened_at) > serving.max_bars for item in items):
            raise Problem("too_many", f"at most {serving.max_bars} bars of a symbol are taken")
        if len(items) > 1 and len({item.symbol for item in items}) != len(items):
            raise Problem("malformed", "a symbol stands twice")
        return request

    def _slot(self, strategy: str | None) -> Slot:
        served = self._serving.strategies
        if strategy is None:
            if len(served) != 1:
                raise Problem("unknown_strategy", "this service serves several strategies: say which")
            return self.models.slot(served[0])
        if strategy not in served:
            raise Problem("unknown_strategy", "see GET /v1/model for what is served")
        return self.models.slot(strategy)

    def _outcome(self, item: Item, slot: Slot, key_id: str, asked: Asked) -> _Outcome:
        try:
            if slot.halt is not None:
                return _Outcome(halted_answer(item.symbol, slot.halt), None, "abstain")
            answered = self._answer(item, slot, key_id, asked)
        except Problem as problem:
            self.metrics.problems.labels(problem.slug).inc()
            return _Outcome(refused_answer(item.symbol, problem.body(asked.request_id)), None, problem.slug)
        return _Outcome(answered.message, answered, answered.status)

    def _answer(self, item: Item, slot: Slot, key_id: str, asked: Asked) -> Answered:
        answerer = self._addressed(item, slot)
        model = answerer.model
        spares = [self._answerer(one) for one in (slot.before, slot.challenger) if one is not None]
        closed_at = item.bars.opened_at[-1] + answerer.interval.milliseconds if item.bars.opened_at else 0
        now_ms = self._clock.at(closed_at)
        window = window_of(
            item,
            (key_id, slot.strategy, item.symbol),
            self._windows,
            answerer.interval,
            answerer.lookback,
            max([answerer.lookback, *(spare.lookback for spare in spares)]),
            now_ms + self._serving.clock_skew_ms,
        )
        self._clock.seen(window.closed_at.item(-1))
        own = newest(window, answerer.lookback)
        digest = own.content_hash()
        try:
            answered = answerer.answer(own, digest, item.position, now_ms)
        except ModelError as error:
            ids = {"request_id": asked.request_id, "strategy": slot.strategy, "version": model.version}
            log.error("v%s of %s failed: %s", model.version, slot.strategy, error, extra=ids)  # noqa: TRY400  the message says all
            answered = self._fall_back(slot, window, item.position, now_ms, asked.request_id)
        self._ask_challenger(slot, window, asked, now_ms)
        return answered

    def _addressed(self, item: Item, slot: Slot) -> Answerer:
        """Who in production answers a question.

        Raises:
            Problem: nobody, or not about this symbol, or not with this position.
        """
        model = slot.production
        if model is None:
            raise Problem("not_ready", "no model is loaded")
        answerer = self._answerer(model)
        if item.symbol not in answerer.symbols:
            raise Problem("unknown_symbol", f"the model knows {', '.join(sorted(answerer.symbols))}")
        if item.position is not None:
            require_usable(item.position)
        return answerer

    def _check_item(self, item: Item, slot: Slot, request_id: str) -> Answer:
        try:
            return halted_answer(item.symbol, slot.halt) if slot.halt is not None else self._checked(item, slot)
        except Problem as problem:
            return refused_answer(item.symbol, problem.body(request_id))

    def _checked(self, item: Item, slot: Slot) -> Answer:
        if item.after is not None:
            raise Problem("malformed", "a check takes whole windows only: leave `after` out")
        answerer = self._addressed(item, slot)
        interval, lookback = answerer.interval, answerer.lookback
        now_ms = self._clock.at(item.bars.opened_at[-1] + interval.milliseconds if item.bars.opened_at else 0)
        # Kept windows belong to bots: this one is forgotten with the answer.
        key, as_of_ms = ("check", slot.strategy, item.symbol), now_ms + self._serving.clock_skew_ms
        window = newest(window_of(item, key, Windows(1), interval, lookback, lookback, as_of_ms), lookback)
        try:
            return answerer.answer(window, window.content_hash(), item.position, now_ms).message
        except ModelError as error:
            log.error("v%s of %s failed a check: %s", answerer.model.version, slot.strategy, error)  # noqa: TRY400  the message says all
            raise Problem("model_failed", "the model does not answer with a probability") from error

    def _fall_back(self, slot: Slot, window: Bars, position: Position | None, now_ms: int, request_id: str) -> Answered:
        """The answer of the model that served before, when the one in production fails on a sound window."""
        if slot.before is not None:
            spare = self._answerer(slot.before)
            if _fits(spare, window):
                own = newest(window, spare.lookback)
                try:
                    answered = spare.answer(own, own.content_hash(), position, now_ms)
                except ModelError as error:
                    ids = {"request_id": request_id, "strategy": slot.strategy, "version": slot.before.version}
                    log.error("v%s of %s failed too: %s", slot.before.version, slot.strategy, error, extra=ids)  # noqa: TRY400
                else:
                    self.metrics.fallbacks.labels(slot.strategy).inc()
                    return answered
        raise Problem("model_failed", "the model does not answer with a probability; use the bot's fallback")

    def _ask_challenger(self, slot: Slot, window: Bars, asked: Asked, now_ms: int) -> None:
        model = slot.challenger
        if model is None or self._shadow is None or not self._serving.shadow:
            return
        answerer = self._answerer(model)
        if _fits(answerer, window):
            self._shadow.ask(ShadowQuestion(answerer, newest(window, answerer.lookback), asked, now_ms))

    def _answerer(self, model: ServedModel) -> Answerer:
        """The answerer of a loaded model, made once for each."""
        found = self._answerers.get(model.digest)
        if found is None or found.model is not model:
            loaded = {one.digest for slot in self.models.slots() for one in slot.loaded()}
            self._answerers = {digest: one for digest, one in self._answerers.items() if digest in loaded}
            found = Answerer(model, self._serving.abstain_out_of_distribution_above)
            self._answerers[model.digest] = found
        return found

    async def _durable(self, asked: Asked, outcomes: list[_Outcome]) -> bool:
        assert self._group is not None
        rows = [
            row_of(
                asked, one.message, one.status, "production", None if one.answered is None else one.answered.features
            )
            for one in outcomes
        ]
        try:
            return await self._group.durable(rows)
        except LogUnavailable as error:
            raise Problem("log_unavailable", "try again later, or use the bot's fallback") from error

    def _count(self, slot: Slot, outcomes: list[_Outcome]) -> None:
        for one in outcomes:
            message = one.message
            if message.abstain is not None:
                self.metrics.abstentions.labels(slot.strategy, message.abstain.reason).inc()
            if one.answered is not None:
                self._counted(slot.strategy, message).tell(message)

    def _count_outcomes(self, slot: Slot, outcomes: list[_Outcome]) -> None:
        """Count what came of each symbol, for the version that is in production whoever answered. A client's faults and a halt are no predictions."""
        for one in outcomes:
            if one.message.problem is not None:
                if one.message.problem.status >= _SERVICES_FAULT:
                    self._count_outcome(slot, "failed")
            elif one.answered is not None:
                self._count_outcome(slot, "ok" if one.answered.model is slot.production else "fallback")

    def _count_outcome(self, slot: Slot, outcome: Literal["ok", "failed", "fallback"], times: int = 1) -> None:
        key = (slot.strategy, 0 if slot.production is None else slot.production.version, outcome)
        found = self._outcome_counts.get(key)
        if found is None:
            found = self._outcome_counts[key] = self.metrics.outcomes.labels(key[0], str(key[1]), outcome)
        found.inc(times)

    def _counted(self, strategy: str, message: Answer) -> "_Counted":
        # Finding a labelled metric costs more than counting; a process sees few versions and symbols.
        key = (strategy, message.version, message.symbol)
        found = self._counts.get(key)
        if found is None:
            metrics = self.metrics
            found = self._counts[key] = _Counted(
                metrics.predictions.labels(strategy, "production", str(message.version)),
                metrics.data_age_seconds.labels(strategy, message.symbol),
                metrics.out_of_distribution.labels(strategy),
            )
        return found


@dataclass(frozen=True, slots=True)
class _Counted:
    """The metrics of one version and symbol."""

    predictions: Counter
    data_age_seconds: Gauge
    out_of_distribution: Histogram

    def tell(self, message: Answer) -> None:
        """Count an answer."""
        self.predictions.inc()
        if message.data_age_ms is not None:
            self.data_age_seconds.set(message.data_age_ms / 1000)
        if message.out_of_distribution is not None:
            self.out_of_distribution.observe(message.out_of_distribution)


def _fits(answerer: Answerer, window: Bars) -> bool:
    return (
        window.symbol in answerer.symbols and window.interval == answerer.interval and len(window) >= answerer.lookback
    )
