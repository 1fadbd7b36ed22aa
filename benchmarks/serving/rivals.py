"""The rivals: each starts in its own environment and is asked for the probability of 40 ready features of one row."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Final

from benchmarks.serving.client import BadAnswer, Connection, Question, post
from benchmarks.serving.contender import Contender, Failed, Read, agrees, at
from benchmarks.serving.environments import bare_rust, environment, run
from benchmarks.serving.market import WINDOW_BARS, Market
from benchmarks.serving.process import Command, DidNotStart, Running, free_port

_SCRIPTS: Final = Path(__file__).parent / "rival_servers"
_START_S: Final = 120.0
_ROWS: Final = 200
Body = Callable[[list[float]], object]


@dataclass(frozen=True, slots=True)
class Asking:
    """One way to ask a server."""

    name: str
    path: str
    body: Body
    read: Read
    compared: bool = True


@dataclass(frozen=True, slots=True)
class Rival:
    """A server: what starts it on a port, and the ways to ask it."""

    name: str
    command: Callable[[Market, Path, int], Command]
    askings: tuple[Asking, ...]


def _features(row: list[float]) -> object:
    return {"features": row}


def _split(row: list[float]) -> object:
    return {"dataframe_split": {"columns": _NAMES, "data": [row]}}


def _columns(row: list[float]) -> object:
    return {"inputs": {name: [value] for name, value in zip(_NAMES, row, strict=True)}}


def _tensor(row: list[float]) -> object:
    return {"inputs": [row]}


def _open_inference(row: list[float]) -> object:
    return {"inputs": [{"name": "x", "shape": [1, len(row)], "datatype": "FP64", "data": row}]}


_NAMES: Final = [f"f{number}" for number in range(40)]


def _script(name: str, argument: Callable[[Market], Path] | None) -> Callable[[Market, Path, int], Command]:
    def command(market: Market, folder: Path, port: int) -> Command:
        python = environment("fastapi") / "bin" / "python"
        arguments = [str(python), str(_SCRIPTS / name), str(port)]
        if argument is not None:
            arguments.append(str(argument(market)))
        return Command(arguments, folder, {})

    return command


def _mlflow(kind: str) -> Callable[[Market, Path, int], Command]:
    def command(market: Market, folder: Path, port: int) -> Command:
        programs = environment("mlflow") / "bin"
        models = folder.parent / "mlflow-models"
        if not models.exists():
            run([str(programs / "python"), str(_SCRIPTS / "save_mlflow.py"), str(market.booster), str(models), *_NAMES])
        arguments = [str(programs / "mlflow"), "models", "serve", "-m", str(models / kind), "-h", "127.0.0.1"]
        return Command([*arguments, "-p", str(port), "--env-manager", "local"], folder, _path(programs))

    return command


def _mlserver(market: Market, folder: Path, port: int) -> Command:
    programs = environment("mlserver") / "bin"
    settings = {"host": "127.0.0.1", "http_port": port, "grpc_port": free_port(), "metrics_port": free_port()}
    # Its default is a worker process beside the server, which costs a hop more; without, it is faster on one core.
    (folder / "settings.json").write_text(json.dumps({**settings, "parallel_workers": 0, "access_log": False}))
    model = {"name": "signal", "implementation": "mlserver_xgboost.XGBoostModel"}
    (folder / "model-settings.json").write_text(json.dumps({**model, "parameters": {"uri": str(market.booster)}}))
    return Command([str(programs / "mlserver"), "start", "."], folder, _path(programs))


def _bentoml(market: Market, folder: Path, port: int) -> Command:
    programs = environment("bentoml") / "bin"
    arguments = [str(programs / "bentoml"), "serve", "bentoml_xgboost:Signal", "--host", "127.0.0.1", "--port"]
    own = {"BOOSTER": str(market.booster), "BENTOML_HOME": str(folder / "bentoml")}
    return Command([*arguments, str(port), "--working-dir", str(_SCRIPTS)], folder, {**_path(programs), **own})


def _bare_rust(market: Market, folder: Path, port: int) -> Command:
    return Command([str(bare_rust()), str(port), str(market.booster.with_name("trees.txt"))], folder, {})


def _path(programs: Path) -> Mapping[str, str]:
    return {"PATH": f"{programs}:/usr/local/bin:/usr/bin:/bin"}


_OWN: Final = at("probability")
_MLFLOW: Final = at("predictions", 0)
RIVALS: Final = (
    Rival(
        "mlflow models serve, column signature",
        _mlflow("signature"),
        (
            Asking("mlflow models serve, signature, dataframe_split", "/invocations", _split, _MLFLOW),
            Asking("mlflow models serve, signature, inputs by column", "/invocations", _columns, _MLFLOW),
        ),
    ),
    Rival(
        "mlflow models serve, no signature",
        _mlflow("plain"),
        (Asking("mlflow models serve, no signature, inputs as rows", "/invocations", _tensor, _MLFLOW),),
    ),
    Rival(
        "MLServer",
        _mlserver,
        (Asking("MLServer 1.7.1, XGBoost", "/v2/models/signal/infer", _open_inference, at("outputs", 0, "data", 0)),),
    ),
    Rival("BentoML", _bentoml, (Asking("BentoML, XGBoost", "/predict", _features, _OWN),)),
    Rival(
        "FastAPI, XGBoost",
        _script("fastapi_xgboost.py", lambda market: market.booster),
        (Asking("FastAPI and uvicorn, XGBoost", "/predict", _features, _OWN),),
    ),
    Rival(
        "FastAPI, ONNX Runtime",
        _script("fastapi_onnx.py", lambda market: market.bundle / "model.onnx"),
        (Asking("FastAPI and uvicorn, ONNX Runtime", "/predict", _features, _OWN),),
    ),
    Rival(
        "FastAPI, empty",
        _script("fastapi_empty.py", None),
        (Asking("FastAPI and uvicorn, an empty route (floor)", "/predict", _features, _OWN, compared=False),),
    ),
    Rival("bare Rust", _bare_rust, (Asking("bare Rust, trees only (floor)", "/", _features, _OWN),)),
)


def start(rival: Rival, market: Market, folder: Path, core: int) -> tuple[Running, list[Contender]]:
    """Start a rival and wait until it answers every way it is asked.

    Raises:
        NotInstalled: its packages cannot be had here.
        DidNotStart: it ended, or gave no answer in time.
        Failed: it gives another probability than XGBoost.
    """
    folder.mkdir(parents=True)
    port = free_port()
    running = Running(rival.command(market, folder, port), port, folder / "server.log", core)
    try:
        contenders = [_contender(asking, running, market) for asking in rival.askings]
        for contender in contenders:
            _wait(contender)
    except BaseException:
        running.stop()
        raise
    return running, contenders


def _contender(asking: Asking, running: Running, market: Market) -> Contender:
    def prepared() -> list[Question]:
        questions = []
        for row in range(WINDOW_BARS - 1, WINDOW_BARS - 1 + _ROWS):
            request = post(asking.path, json.dumps(asking.body(market.features[row].tolist())).encode())
            accept = agrees(asking.read, float(market.probability[row])) if asking.compared else bool
            questions.append(Question(request, accept))
        return questions

    known = prepared()

    def questions(client: int) -> Iterator[Question]:
        shift = client * 17 % _ROWS
        return cycle(known[shift:] + known[:shift])

    return Contender(asking.name, running, questions, asking.compared)


def _wait(contender: Contender) -> None:
    running, question = contender.running, next(contender.questions(0))
    deadline, seen = time.monotonic() + _START_S, "no answer"
    while time.monotonic() < deadline and running.alive():
        connection = Connection(running.port, 20.0)
        try:
            status, body = connection.ask(question.request)
        except (OSError, BadAnswer) as error:
            seen = str(error)
        else:
            if status == 200:
                if question.accept(body):
                    return
                raise Failed(f"{contender.name} gives another probability: {body[:200]!r}")
            seen = f"{status} {body[:200]!r}"
        finally:
            connection.close()
        time.sleep(0.2)
    raise DidNotStart(f"{contender.name}: {seen}; its log ends: {running.log_end()}")
