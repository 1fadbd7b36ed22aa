"""Our service as it is meant to run: signed bundle, API key, limits, log made durable before each answer. Only the clock is the bars' own.

`clock: bars` lets a benchmark send years of bars; everything else is what production asks for.
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from benchmarks.serving.client import BadAnswer, Connection, Question, get, post
from benchmarks.serving.contender import TOLERANCE, Contender
from benchmarks.serving.environments import serving_environment
from benchmarks.serving.market import STRATEGY, SYMBOLS, WINDOW_BARS, Market
from benchmarks.serving.process import Command, DidNotStart, Running, free_port

from tidegate.keys.api_keys import ApiKeys, new_key
from tidegate.keys.signing import Signer, production_message
from tidegate.keys.state import SignedState, encode
from tidegate.model.bundle import load_bundle
from tidegate.registry.tracking.versions import Tracking
from tidegate.settings.settings import Mlflow, Settings

_START_S: Final = 60.0
_PREDICT: Final = "/v1/predict"


@dataclass(frozen=True, slots=True)
class Installation:
    """A folder with settings, keys, cache and log, and the interpreter to run it; `keys` are API keys by their ids."""

    folder: Path
    python: Path
    keys: dict[str, str]
    registry: str

    def command(self, port: int, **changes: Any) -> Command:  # noqa: ANN401  values of many settings
        """Starts the service on a port, with some settings changed."""
        serving = {
            "strategies": [STRATEGY],
            "instance": "bench",
            "port": port,
            "registry_uri": self.registry,
            "cache": str(self.folder / "cache"),
            "log_folder": str(self.folder / "predictions"),
            "api_keys_file": str(self.folder / "api-keys.yaml"),
            "rate_limit_rps": 1_000_000,
            "clock": "bars",
            **changes,
        }
        content = {"serving": serving, "signing": {"public_key_files": [str(self.folder / "public.pem")]}}
        (self.folder / "configs").mkdir(exist_ok=True)
        (self.folder / "configs" / "base.yaml").write_text(yaml.safe_dump(content))
        own = {"TIDEGATE_ROOT": str(self.folder)}
        return Command([str(self.python), "-m", "tidegate.serving"], self.folder, own)


def install(market: Market, registry: str, folder: Path) -> Installation:
    """Register, sign and promote the bundle at an MLflow server, and write keys beside it."""
    folder.mkdir(parents=True)
    signer = Signer.new()
    public = folder / "public.pem"
    public.write_bytes(signer.public_pem())
    public.chmod(0o644)
    now_ms = int(time.time() * 1000)
    made = [
        new_key(key_id, ["predict", "metrics"], created_at=now_ms) for key_id in ("bars", "windows", "crowd", "soak")
    ]
    ApiKeys(key for _, key in made).write(folder / "api-keys.yaml")
    _promote(market, registry, signer, now_ms)
    return Installation(
        folder, serving_environment() / "bin" / "python", {key.id: text for text, key in made}, registry
    )


def _promote(market: Market, registry: str, signer: Signer, now_ms: int) -> None:
    bundle = load_bundle(market.bundle)
    tracking = Tracking(Settings(mlflow=Mlflow(tracking_uri=registry)))
    with tracking.start_run(STRATEGY, "benchmark") as run:
        version = tracking.register(market.bundle, run, market.names, description="for the benchmark")
    tracking.attach_signature(STRATEGY, version, signer.sign(production_message(bundle.digest)))
    tracking.set_alias(STRATEGY, "production", version)
    tracking.set_alias(STRATEGY, "challenger", None)
    state = SignedState(
        strategy=STRATEGY, token=1, halted=False, production=bundle.digest, production_version=version, at=now_ms
    )
    tracking.connection.client.set_registered_model_tag(STRATEGY, "signed_state", encode(state, signer.sign))


def start(installation: Installation, core: int, **changes: Any) -> tuple[Running, float]:  # noqa: ANN401
    """Start the service.

    Returns:
        the running service, and the seconds from its start until it was ready.
    Raises:
        DidNotStart: it ended, or was not ready in time.
    """
    port = free_port()
    running = Running(installation.command(port, **changes), port, installation.folder / "service.log", core)
    deadline, seen = running.started_at + _START_S, "no answer"
    while time.perf_counter() < deadline and running.alive():
        connection = Connection(port, 5.0)
        try:
            status, body = connection.ask(get("/readyz"))
        except (OSError, BadAnswer) as error:
            seen = str(error)
        else:
            if status == 200:
                return running, time.perf_counter() - running.started_at
            seen = f"{status} {body[:300]!r}"
        finally:
            connection.close()
        time.sleep(0.005)
    running.stop()
    raise DidNotStart(f"tidegate: {seen}; its log ends: {running.log_end()}")


def contenders(running: Running, market: Market, installation: Installation) -> list[Contender]:
    """The two ways to ask: one new bar, and a whole window."""
    return [
        Contender("tidegate, one new bar", running, new_bars(market, installation.keys["bars"])),
        Contender("tidegate, whole window of 300 bars", running, windows(market, installation.keys["windows"])),
    ]


def new_bars(market: Market, key: str) -> Callable[[int], Iterator[Question]]:
    """One bar after the other; each client has its own symbol, and goes on where it stopped."""
    sequences: dict[int, Iterator[Question]] = {}

    def questions(client: int) -> Iterator[Question]:
        if client not in sequences:
            sequences[client] = _appending(market, SYMBOLS[client], key)
        return sequences[client]

    return questions


def windows(market: Market, key: str) -> Callable[[int], Iterator[Question]]:
    """Whole windows, each one bar later."""

    def questions(client: int) -> Iterator[Question]:
        while True:
            for end in range(WINDOW_BARS + client * 100, len(market.bars)):
                yield _question(market, SYMBOLS[client], key, end - WINDOW_BARS, end, None)

    return questions


def _appending(market: Market, symbol: str, key: str) -> Iterator[Question]:
    opened_at = market.bars.opened_at.tolist()
    while True:
        yield _question(market, symbol, key, 0, WINDOW_BARS, None)
        for at in range(WINDOW_BARS, len(market.bars)):
            yield _question(market, symbol, key, at, at + 1, opened_at[at - 1])


def _question(market: Market, symbol: str, key: str, start: int, end: int, after: int | None) -> Question:
    columns = {
        name: getattr(market.bars, name)[start:end].tolist()
        for name in ("opened_at", "open", "high", "low", "close", "volume")
    }
    item = {"symbol": symbol, "bars": columns} | ({} if after is None else {"after": after})
    body = json.dumps({"items": [item]}, separators=(",", ":")).encode()
    expected = float(market.probability[end - 1])

    def accept(answer: bytes) -> bool:
        content = json.loads(answer)
        found = content["answers"][0]
        # `logged` says that the answer was durable before it left: without it the figures would be of another service.
        return (
            content["logged"] is True
            and found["abstain"] is None
            and found["signal"] is not None
            and abs(found["probability"] - expected) <= TOLERANCE
        )

    return Question(post(_PREDICT, body, {"Authorization": f"Bearer {key}"}), accept)
