"""Whether an answer is a signal. Pure: the answer, the question, what the service says of its models, and now."""

from dataclasses import dataclass
from typing import Final

import msgspec

from tidegate.client.columns import Columns, digest_of
from tidegate.client.config import AnswerSettings
from tidegate.client.decision import Halt, NoSignal, Outcome, Signal
from tidegate.client.messages import Abstain, Answer, LoadedModel, PredictAnswer, Served, SignalName
from tidegate.errors import ModelError
from tidegate.policy.policy import PositionPolicy, PositionState, Side, entry_side, target_position

_decode: Final = msgspec.json.Decoder(PredictAnswer).decode
_SIDES: Final[dict[SignalName, Side]] = {"long": 1, "short": -1, "flat": 0}


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """What was asked.

    Attributes:
        request_id, strategy, symbol: which an answer must repeat.
        closed_at: close of the newest bar, UTC ms.
        bars: the bot's own, all of them.
        interval: theirs.
        held: the position at that time.
    """

    request_id: str
    strategy: str
    symbol: str
    closed_at: int
    bars: Columns
    interval: str
    held: PositionState


class NotUnderstood(Exception):
    """A body that is not the JSON expected, or no answer to the question; the message says why."""


def understand(body: bytes, question: Question) -> tuple[PredictAnswer, Answer]:
    """The answer to the question.

    Raises:
        NotUnderstood: there is none.
    """
    try:
        whole = _decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise NotUnderstood(f"the answer is not the JSON expected: {error}") from error
    for name in ("request_id", "strategy"):
        expected, actual = getattr(question, name), getattr(whole, name)
        if actual != expected:
            raise NotUnderstood(f"{name}: {expected!r} is expected, was {actual!r}")
    if len(whole.answers) != 1:
        raise NotUnderstood(f"one answer is expected, were {len(whole.answers)}")
    (answer,) = whole.answers
    if answer.symbol != question.symbol:
        raise NotUnderstood(f"symbol: {question.symbol!r} is expected, was {answer.symbol!r}")
    return whole, answer


def skew_ms(answer: Answer, closed_at: int, now: int) -> int | None:
    """The service's clock less the client's, ms; None where the answer does not tell."""
    if answer.bar_closed_at != closed_at or answer.data_age_ms is None:
        return None
    return answer.bar_closed_at + answer.data_age_ms - now


def judge(
    whole: PredictAnswer,
    answer: Answer,
    question: Question,
    served: Served,
    settings: AnswerSettings,
    now: int,
) -> Outcome:
    """What an answer without a problem comes to; the first line that does not hold gives the reason.

    Args:
        whole: as `understand` gives it.
        answer: as well.
        question: what was asked.
        served: what the service says of the strategy.
        settings: which answers are signals.
        now: UTC ms by the client's clock.
    """
    if answer.abstain is not None:
        outcome = _abstained(answer.abstain)
        known = None if isinstance(outcome, Halt) else named(answer, served)
        return outcome if known is None else (_elsewhere(answer, known, question) or outcome)
    probability, target = answer.probability, answer.target_position
    if probability is None or target is None or _lacks_fields(answer) or not 0.0 <= probability <= 1.0:
        return NoSignal("bad_answer", "a signal lacks fields, or its probability is none")
    refusal = _untimely(answer, question, settings, now)
    if refusal is None and settings.require_logged and not whole.logged:
        refusal = NoSignal("not_logged", "the answer is not in the prediction log")
    if refusal is not None:
        return refusal
    model = _expected(answer, served, settings, now)
    if isinstance(model, NoSignal):
        return model
    return _elsewhere(answer, model, question) or _consistent(answer, model, question) or Signal(target, probability)


def answering(served: Served) -> list[LoadedModel]:
    """The models that may answer: the one in production, and the one before."""
    return [model for model in (served.production, served.before) if model is not None]


def named(answer: Answer, served: Served) -> LoadedModel | None:
    """The model that answered, None where it is none of those that may."""
    told = (answer.version, answer.bundle_digest)
    return next((one for one in answering(served) if (one.version, one.bundle_digest) == told), None)


def policy_of(model: LoadedModel) -> PositionPolicy:
    """The model's position policy.

    Raises:
        ValueError: its parameters are no policy.
    """
    return PositionPolicy.model_validate(msgspec.structs.asdict(model.policy))


def unfit(model: LoadedModel, interval: str, symbol: str) -> str | None:
    """Why a model is not made for this bot, None where it is."""
    if model.interval != interval:
        return f"v{model.version} is made for bars of {model.interval}, the bot has bars of {interval}"
    if symbol not in model.symbols:
        return f"v{model.version} does not know {symbol}"
    return None


def _abstained(abstain: Abstain) -> Outcome:
    if abstain.reason == "halted":
        return Halt(abstain.detail)
    return NoSignal("abstained", f"{abstain.reason}: {abstain.detail}")


def _lacks_fields(answer: Answer) -> bool:
    needed = (answer.version, answer.bundle_digest, answer.bar_closed_at, answer.valid_until, answer.data_age_ms)
    return None in needed or answer.signal is None


def _untimely(answer: Answer, question: Question, settings: AnswerSettings, now: int) -> NoSignal | None:
    assert answer.valid_until is not None
    skew = skew_ms(answer, question.closed_at, now)
    if skew is None:
        return NoSignal(
            "wrong_bar", f"the bar closed at {question.closed_at}, the answer is about {answer.bar_closed_at}"
        )
    if abs(skew) > settings.max_clock_skew_ms:
        return NoSignal("clock_skew", f"the service's clock is {skew} ms off this one")
    if now >= answer.valid_until:
        return NoSignal("too_old", f"it was valid until {answer.valid_until}, it is {now}")
    return None


def _expected(answer: Answer, served: Served, settings: AnswerSettings, now: int) -> LoadedModel | NoSignal:
    model = named(answer, served)
    if model is None:
        return NoSignal("unexpected_version", f"v{answer.version} answered, which the service does not describe")
    why = None
    if settings.versions and model.version not in settings.versions:
        why = f"answers.versions does not allow v{model.version}"
    elif settings.bundle_digests and model.bundle_digest not in settings.bundle_digests:
        why = f"answers.bundle_digests does not allow v{model.version}"
    elif now >= model.expires_at:
        why = f"v{model.version} expired at {model.expires_at}"
    return model if why is None else NoSignal("unexpected_version", why)


def _elsewhere(answer: Answer, model: LoadedModel, question: Question) -> NoSignal | None:
    """Whether the model judged other bars than the bot's: a service keeps windows by API key, and another bot may use the same one."""
    own = digest_of(question.bars, question.symbol, question.interval, model.lookback)
    if own is None:
        count = len(question.bars["opened_at"])
        return NoSignal("wrong_window", f"v{model.version} judged {model.lookback} bars, the bot has {count}")
    if answer.input_digest == own:
        return None
    return NoSignal(
        "wrong_window", f"v{model.version} judged other bars than the bot's; does another bot use its API key?"
    )


def _consistent(answer: Answer, model: LoadedModel, question: Question) -> NoSignal | None:
    assert answer.probability is not None
    assert answer.signal is not None
    try:
        policy = policy_of(model)
        asked = entry_side(answer.probability, policy)
        target = target_position(answer.probability, float(question.bars["close"][-1]), question.held, policy)
    except (ModelError, ValueError) as error:
        return NoSignal("bad_answer", f"no policy can judge the answer: {error}")
    if _SIDES[answer.signal] == asked and answer.target_position == target:
        return None
    return NoSignal(
        "bad_answer",
        f"probability {answer.probability} asks for {asked} and the policy for {target}, "
        f"the answer says {answer.signal} and {answer.target_position}",
    )
