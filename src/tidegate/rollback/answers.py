"""One serving process asked whether it answers as it should: told to look at the registry, then ready, then golden windows or the halt."""

import json
import time
from dataclasses import dataclass
from typing import Any, Final

import urllib3
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError

from tidegate.bars.bars import COLUMNS
from tidegate.model.manifest import GoldenVector
from tidegate.rollback.body import TooLarge, TooSlow, read_body

TOLERANCE: Final = 1e-6
"""Largest difference of a probability: processors may differ in the last bits of log and exp, as the contract of golden vectors allows. Which model
answers is told by its digest, which must be the very one."""
_HALF_S: Final = 0.5


class NoAnswer(Exception):
    """A process did not answer, or not as it should; its text says how."""


class NotThere(NoAnswer):
    """Nobody takes a connection there."""


class OtherStrategy(Exception):
    """The process answers, and does not serve the strategy."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What every serving process of a strategy must do.

    Attributes:
        strategy: the strategy's name.
        version: the version that must answer; None: the strategy must be halted.
        digest: its manifest's digest.
        golden: its golden windows, at least one where there is a version.
    """

    strategy: str
    version: int | None
    digest: str | None
    golden: tuple[GoldenVector, ...] = ()


class Asker:
    """Asks one serving process after another question, within the time that is left.

    Args:
        api_key: with the scope admin; None where the processes ask for none.
        timeout_s: before one request counts as not answered; a reload may take longer, up to the deadline.
    """

    def __init__(self, api_key: str | None, timeout_s: float) -> None:
        self._headers = {} if api_key is None else {"Authorization": f"Bearer {api_key}"}
        self._timeout_s = timeout_s
        self._http = urllib3.PoolManager(retries=False, maxsize=4)

    def close(self) -> None:
        """Close all connections."""
        self._http.clear()

    def reload(self, address: str, strategy: str, ends_at: float) -> dict[str, Any]:
        """Tell a process to look at the registry now; what it says of the strategy.

        Raises:
            NoAnswer: it does not answer, or refuses.
            OtherStrategy: it does not serve the strategy.
        """
        found = self._json("POST", address, "/v1/admin/reload", None, ends_at, slow=True)
        own = [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
        for one in own:
            if one.get("strategy") == strategy:
                return one
        if own:
            raise OtherStrategy(f"it serves {', '.join(str(one.get('strategy')) for one in own)}")
        raise NoAnswer("it does not say what it serves")

    def require_ready(self, address: str, ends_at: float) -> None:
        """Require that requests may be sent there.

        Raises:
            NoAnswer: it does not answer or is not ready.
        """
        status, body = self._call("GET", address, "/readyz", None, ends_at)
        if status != 200:
            raise NoAnswer(f"it is not ready: {_cut(body)}")

    def require_golden(self, address: str, expected: Expected, ends_at: float) -> None:
        """Require that the golden windows are answered by the expected version, with its probabilities.

        Raises:
            NoAnswer: they are not.
        """
        for at, vector in enumerate(expected.golden):
            bars = {name: list(vector.bars[name]) for name in COLUMNS}
            bars["opened_at"] = [int(opened_at) for opened_at in vector.bars["opened_at"]]
            answer = self._answer(address, expected.strategy, {"symbol": vector.symbol, "bars": bars}, ends_at)
            found = answer.get("version"), answer.get("bundle_digest")
            if found != (expected.version, expected.digest):
                halted = answer.get("abstain") or {}
                told = "it answers as halted" if halted.get("reason") == "halted" else f"v{found[0]} answers"
                raise NoAnswer(told if found[0] != expected.version else f"{told} with another bundle, {found[1]}")
            probability = answer.get("probability")
            # Asked this way round, what is no number and NaN are refused as well.
            if not (isinstance(probability, float | int) and abs(probability - vector.probability) <= TOLERANCE):
                raise NoAnswer(f"golden window {at} is answered with {probability}, expected {vector.probability}")

    def require_halted(self, address: str, strategy: str, ends_at: float) -> None:
        """Require that the strategy is halted there: no signal, and nothing to be held.

        Raises:
            NoAnswer: it is not.
        """
        bar = {"opened_at": [0], "open": [1.0], "high": [1.0], "low": [1.0], "close": [1.0], "volume": [1.0]}
        answer = self._answer(address, strategy, {"symbol": "any", "bars": bar}, ends_at)
        abstain = answer.get("abstain") or {}
        if abstain.get("reason") != "halted" or answer.get("target_position") != 0:
            raise NoAnswer(f"it is not halted: v{answer.get('version')} answers")

    def _answer(self, address: str, strategy: str, item: dict[str, Any], ends_at: float) -> dict[str, Any]:
        found = self._json("POST", address, "/v1/admin/check", {"strategy": strategy, "items": [item]}, ends_at)
        answers = found.get("answers") if isinstance(found, dict) else None
        if not isinstance(answers, list) or len(answers) != 1 or not isinstance(answers[0], dict):
            raise NoAnswer("its answer is not one")
        return answers[0]

    def _json(self, method: str, address: str, path: str, body: object, ends_at: float, *, slow: bool = False) -> Any:  # noqa: ANN401  any JSON value
        status, content = self._call(method, address, path, body, ends_at, slow=slow)
        try:
            found = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise NoAnswer(f"{path}: status {status}, and no JSON") from error
        if status != 200:
            detail = found.get("detail") if isinstance(found, dict) else None
            raise NoAnswer(f"{path}: status {status}: {detail or _cut(content)}")
        return found

    def _call(
        self, method: str, address: str, path: str, body: object, ends_at: float, *, slow: bool = False
    ) -> tuple[int, bytes]:
        if not address.startswith(("http://", "https://")):
            raise NoAnswer(f"{address!r} is no http address")
        left_s = ends_at - time.monotonic()
        if left_s <= 0:
            raise NoAnswer("the time is over")
        limit_s = left_s if slow else min(left_s, max(self._timeout_s, _HALF_S))
        until = time.monotonic() + limit_s
        try:
            reply = self._http.request(
                method,
                address.rstrip("/") + path,
                json=body,
                headers=self._headers,
                timeout=urllib3.Timeout(total=limit_s),
                redirect=False,
                preload_content=False,
            )
            content = read_body(reply, until)
        except (TooLarge, TooSlow) as error:
            raise NoAnswer("its answer is too long or comes too slowly") from error
        except (NewConnectionError, ConnectTimeoutError) as error:
            raise NotThere(f"{path}: nobody takes a connection ({type(error).__name__})") from error
        except (HTTPError, ValueError, OSError) as error:
            raise NoAnswer(f"{path}: no answer within {limit_s:.1f} s ({type(error).__name__})") from error
        return reply.status, content


def _cut(body: bytes) -> str:
    return body[:300].decode(errors="replace")
