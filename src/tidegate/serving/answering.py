"""From a window to an answer: the same model and the same position policy as the backtest, and the rules that abstain."""

from dataclasses import dataclass
from typing import Final, Literal

from tidegate.bars.bars import Bars, Floats
from tidegate.bars.interval import Interval
from tidegate.errors import DataError
from tidegate.policy.policy import PositionState, Side, target_position
from tidegate.serving.distribution import TrainingRange
from tidegate.serving.messages import Abstain, Answer, Position, Signal, unanswered
from tidegate.serving.predictor import Prediction
from tidegate.serving.served import ServedModel

_SIGNALS: Final[dict[Side, Signal]] = {1: "long", -1: "short", 0: "flat"}
_FLAT: Final = PositionState()


@dataclass(frozen=True, slots=True, eq=False)
class Answered:
    """An answer, and what only the log needs.

    Attributes:
        message: what is sent.
        features: (F,) float64, None where none were computed.
        model: who answered.
        status: `ok`, or `abstain`.
    """

    message: Answer
    features: Floats | None
    model: ServedModel
    status: Literal["ok", "abstain"]


class Answerer:
    """Answers for one model. Making one reads the manifest, answering reads only the window.

    Args:
        model: who answers.
        abstain_above: share of features outside the training range from which no signal is given; None never abstains for that.
    """

    def __init__(self, model: ServedModel, abstain_above: float | None) -> None:
        manifest = model.predictor.bundle.manifest
        self.model = model
        self.interval = Interval(manifest.interval)
        self.lookback = manifest.lookback
        self.symbols = frozenset(manifest.symbols)
        self._policy = manifest.policy
        self._range = TrainingRange(manifest)
        self._abstain_above = abstain_above
        self._interval_ms = self.interval.milliseconds

    def answer(self, window: Bars, digest: str, position: Position | None, now_ms: int) -> Answered:
        """Answer for the newest bar of a validated window of `lookback` bars.

        Args:
            window: as `question.window_of` gives it.
            digest: its content hash.
            position: what is held at the newest bar's close; None asks for an entry only.
            now_ms: the time of asking.
        Raises:
            ModelError: the graph answers with something that is not a probability.
        """
        closed_at = int(window.opened_at[-1]) + self._interval_ms
        try:
            prediction = self.model.predictor.answer(window)
        except DataError as error:
            return self._abstain(window.symbol, closed_at, digest, now_ms, "features_not_finite", error.what)
        outside = self._range.share_outside(prediction.features)
        reason = self._reason(closed_at, outside, now_ms)
        if reason is not None:
            return self._abstain(window.symbol, closed_at, digest, now_ms, *reason, prediction, outside)
        state = _FLAT if position is None or position.side == 0 else _state(position)
        target = target_position(prediction.probability, float(window.close[-1]), state, self._policy)
        message = self._message(
            window.symbol, closed_at, digest, now_ms, prediction, outside, _SIGNALS[prediction.signal], target, None
        )
        return Answered(message, prediction.features, self.model, "ok")

    def _reason(self, closed_at: int, outside: float, now_ms: int) -> tuple[str, str] | None:
        if now_ms >= self.model.expires_at:
            return "model_expired", f"v{self.model.version} expired at {self.model.expires_at}"
        if now_ms > closed_at + self._interval_ms:
            return "stale_data", f"the newest bar closed {now_ms - closed_at} ms ago, the next one is due"
        if self._abstain_above is not None and outside > self._abstain_above:
            return "out_of_distribution", f"{outside:.0%} of the features lie outside the training range"
        return None

    def _abstain(
        self,
        symbol: str,
        closed_at: int,
        digest: str,
        now_ms: int,
        reason: str,
        detail: str,
        prediction: Prediction | None = None,
        outside: float | None = None,
    ) -> Answered:
        message = self._message(
            symbol, closed_at, digest, now_ms, prediction, outside, None, None, Abstain(reason, detail)
        )
        features = None if prediction is None else prediction.features
        return Answered(message, features, self.model, "abstain")

    def _message(
        self,
        symbol: str,
        closed_at: int,
        digest: str,
        now_ms: int,
        prediction: Prediction | None,
        outside: float | None,
        signal: Signal | None,
        target: Side | None,
        abstain: Abstain | None,
    ) -> Answer:
        return Answer(
            symbol=symbol,
            version=self.model.version,
            bundle_digest=self.model.digest,
            bar_closed_at=closed_at,
            valid_until=closed_at + self._interval_ms,
            data_age_ms=now_ms - closed_at,
            probability=None if prediction is None else prediction.probability,
            signal=signal,
            target_position=target,
            out_of_distribution=outside,
            abstain=abstain,
            problem=None,
            input_digest=digest,
        )


def halted_answer(symbol: str, detail: str) -> Answer:
    """What a halted strategy answers to everybody: no signal, and nothing to be held."""
    return unanswered(symbol, signal="flat", target_position=0, abstain=Abstain("halted", detail))


def _state(position: Position) -> PositionState:
    # Checked by `question.require_usable`; building it without pydantic's checks spares 2 us of each answer.
    return PositionState.model_construct(
        side=position.side, entry_price=position.entry_price, bars_held=position.bars_held
    )
