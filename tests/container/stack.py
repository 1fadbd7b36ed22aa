"""docker/compose.yaml with Debian's packages in a real engine: its files in a folder of their own, free ports, and clients that ask all the time."""

import base64
import http.client
import itertools
import json
import os
import shutil
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any, Final

import yaml
from tests.container.engine import RELEASE, ROOT, Engine
from tests.integration.pipeline.small_market import CONTENT
from tests.meanwhile import meanwhile
from tests.servers import free_port
from tests.unavailable import unavailable

from tidegate.bars.bars import COLUMNS, Bars, iso
from tidegate.bars.interval import DAY_MS, Interval
from tidegate.bars.simulated import simulate
from tidegate.client.transport import route_of
from tidegate.strategy.gates import GateRule, Gates
from tidegate.strategy.strategy import SimulatedSource, Strategy

DOCKER: Final = ROOT / "docker"
FILES: Final = ("compose.yaml", "compose.debian.yaml")
PORTS: Final = ("PROXY", "MLFLOW", "PREFECT", "PROMETHEUS", "ALERTMANAGER", "GRAFANA")
SYMBOLS: Final = ("SIM/USD", "SIM2/USD")
SERVING: Final = ("serving-a", "serving-b")
_PAUSE_S: Final = 0.05


@cache
def plugins() -> Path:
    """A folder for DOCKER_CONFIG in which Compose is found: that of this machine, or Debian's package, unpacked into the project's cache."""
    folder = ROOT / ".cache" / "container" / "docker"
    program = folder / "cli-plugins" / "docker-compose"
    if program.exists():
        return folder
    program.parent.mkdir(parents=True, exist_ok=True)
    made = program.with_suffix(".part")
    for place in (
        "/usr/libexec/docker/cli-plugins",
        "/usr/lib/docker/cli-plugins",
        "/usr/local/lib/docker/cli-plugins",
    ):
        if Path(place, "docker-compose").exists():
            shutil.copy(Path(place, "docker-compose"), made)
            return made.replace(program).parents[1]
    unpacked = _debian_package(folder / "package", "docker-compose")
    shutil.copy(unpacked / "usr/libexec/docker/cli-plugins/docker-compose", made)
    return made.replace(program).parents[1]


def _debian_package(folder: Path, name: str) -> Path:
    """A package of the containers' release, unpacked and not installed; its signature is checked as apt does it."""
    if shutil.which("apt-get") is None:
        unavailable("there is no Docker Compose on this machine, and no apt-get to get it with")
    shutil.rmtree(folder, ignore_errors=True)
    for part in ("lists/partial", "cache/archives/partial", "unpacked"):
        (folder / part).mkdir(parents=True)
    key = "/usr/share/keyrings/debian-archive-keyring.gpg"
    (folder / "sources").write_text(f"deb [signed-by={key}] http://deb.debian.org/debian {RELEASE} main\n")
    (folder / "status").touch()
    given = {
        "Dir::Etc::SourceList": folder / "sources",
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::State::Lists": folder / "lists",
        "Dir::State::Status": folder / "status",
        "Dir::Cache": folder / "cache",
        "APT::Sandbox::User": "root",
    }
    apt = ["apt-get", "-q", *itertools.chain.from_iterable(("-o", f"{key}={value}") for key, value in given.items())]
    for command in ([*apt, "update"], [*apt, "download", name]):
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120)
        if done.returncode:
            unavailable(f"Docker Compose cannot be had from Debian: {done.stderr[-500:]}")
    (package,) = folder.glob(f"{name}_*.deb")
    subprocess.run(["dpkg-deb", "-x", package, folder / "unpacked"], check=True, timeout=60)
    return folder / "unpacked"


@dataclass(frozen=True)
class Stack:
    """The stack's folder and engine.

    Attributes:
        engine: that runs it.
        folder: on the host, with `docker/` and `configs/` as in the project.
        images: variables that name the images.
    """

    engine: Engine
    folder: Path
    images: dict[str, str]

    @cached_property
    def ports(self) -> dict[str, int]:
        """Published ports, by the service's name in capitals."""
        return {name: free_port() for name in PORTS}

    @cached_property
    def strategy(self) -> Strategy:
        """Two simulated symbols up to now. No gate refuses: what is tested is the stack, and the market differs each day."""
        opened = int(time.time() * 1000) // DAY_MS * DAY_MS - 160 * DAY_MS
        rules = dict(Gates()).items()
        gates = {name: {"blocking": False} for name, rule in rules if isinstance(rule, GateRule)}
        content = {
            **CONTENT,
            "symbols": list(SYMBOLS),
            "source": {**CONTENT["source"], "starts_at": iso(opened)},
            "gates": gates,
        }
        return Strategy.model_validate(content)

    @property
    def environment(self) -> dict[str, str]:
        """Of every `docker compose`, and of the scripts that call it."""
        return {
            **self.engine.environment,
            **self.images,
            **{f"{name}_PORT": str(port) for name, port in self.ports.items()},
            "DOCKER": self.engine.client,
            "DOCKER_CONFIG": str(plugins()),
            "COMPOSE_FILES": " ".join(FILES),
            "COMPOSE_PROJECT_NAME": self.folder.name.lower().replace("_", "-"),
            "STRATEGIES": self.strategy.name,
            "RETRAIN_AT": "* * * * *",
            "HEALTH_INTERVAL": "2s",
            # The machine may do other work.
            "HEALTH_TIMEOUT": "30s",
        }

    def write(self) -> None:
        """Lay the folder out: the files under test, settings, the strategy and the secrets."""
        shutil.copytree(DOCKER, self.folder / "docker", ignore=shutil.ignore_patterns("secrets", "__pycache__"))
        configs = self.folder / "configs"
        (configs / "strategies").mkdir(parents=True)
        for path in (ROOT / "configs").glob("*.yaml"):
            shutil.copy(path, configs)
        production = yaml.safe_load((configs / "production.yaml").read_text())
        # The small model's gates are off, so that it passes no production checklist.
        production |= {"checklist": {"require": "nothing"}}
        assert production["backup"] == {"before_promotion": "require"}
        (configs / "production.yaml").write_text(yaml.safe_dump(production))
        shutil.copytree(ROOT / "configs" / "policies", configs / "policies")
        written = self.strategy.model_dump(mode="json", exclude_unset=True)
        (configs / "strategies" / f"{self.strategy.name}.yaml").write_text(yaml.safe_dump(written))
        self.folder.chmod(0o755)

    def compose(self, *arguments: str, timeout_s: float = 300) -> str:
        """Run `docker compose` and return what it printed."""
        files = itertools.chain.from_iterable(("-f", name) for name in FILES)
        return self.run(self.engine.client, "compose", *files, *arguments, timeout_s=timeout_s)

    def run(self, *command: str, timeout_s: float = 300) -> str:
        """Run a command in the stack's folder docker/."""
        done = subprocess.run(
            command,
            cwd=self.folder / "docker",
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
        return done.stdout.strip()

    def tidegate(self, *arguments: str, timeout_s: float = 300) -> str:
        """Run a command of tidegate, as users do."""
        return self.compose("run", "--rm", "cli", "tidegate", *arguments, timeout_s=timeout_s)

    def container(self, service: str) -> dict[str, Any]:
        """What the engine knows of a service's container."""
        (found,) = json.loads(self.engine.run("inspect", self.compose("ps", "--quiet", "--all", service)))
        assert isinstance(found, dict)
        return found

    def secret(self, name: str) -> str:
        """A secret's content."""
        return (self.folder / "docker" / "secrets" / name).read_text().strip()

    def ask(self, service: str, path: str, login: str = "", body: object = None, method: str | None = None) -> Any:  # noqa: ANN401
        """JSON from a published service; `login` is `user:password`."""
        headers = {"Content-Type": "application/json"}
        if login:
            headers["Authorization"] = f"Basic {base64.b64encode(login.encode()).decode()}"
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.ports[service]}{path}", data=content, headers=headers, method=method
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            read = answer.read()
        return json.loads(read) if read else None

    def inside(self, service: str, path: str) -> int:
        """The status that a serving process answers itself, 0 where it does not."""
        code = (
            "import http.client as h; c = h.HTTPConnection('127.0.0.1', 8080, timeout=5); "
            f"c.request('GET', '{path}'); print(c.getresponse().status)"
        )
        try:
            return int(self.compose("exec", "-T", service, "python", "-c", code))
        except RuntimeError:
            return 0

    def crash(self, service: str) -> None:
        """`kill -9` of a service's process, from outside: the engine takes it for a crash, and starts it again."""
        os.kill(int(self.container(service)["State"]["Pid"]), 9)


def until(found: Callable[[], bool], what: str, timeout_s: float, told: Callable[[], str] = str) -> None:
    """Wait until something holds; `told` is asked for more when it does not come."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            if found():
                return
        except (OSError, http.client.HTTPException, ValueError):
            pass
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {timeout_s} s\n{told()[-6000:]}")
        time.sleep(0.25)


@dataclass
class Answers:
    """What the clients got.

    Attributes:
        acknowledged: ids of answered questions with their symbol and version.
        failed: questions that got no answer.
        patience_s: how long a client asks on where nobody listens or a connection ends; 0: that is a failure.
        asked_again: how often one did, and for how long at most, s.
    """

    acknowledged: dict[str, tuple[str, int | None]] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    patience_s: float = 0.0
    asked_again: int = 0
    longest_wait_s: float = 0.0

    @contextmanager
    def patience(self, seconds: float) -> Iterator[None]:
        """Clients ask on meanwhile."""
        self.patience_s = seconds
        try:
            yield
        finally:
            self.patience_s = 0.0

    def more(self, count: int, what: str, timeout_s: float = 240) -> None:
        """Wait for more answers about each symbol; a failure ends the wait."""
        before = self._counts()

        def enough() -> bool:
            assert self.failed == [], f"{what}: {self.failed}"
            return all(now >= then + count for now, then in zip(self._counts(), before, strict=True))

        until(enough, f"answers {what}", timeout_s)

    def asked(self, asker: "Asker", name: str, *, only_new: bool) -> dict[str, Any]:
        """One question's answer, after as many attempts as patience allows."""
        begun = time.monotonic()
        while True:
            try:
                return asker.ask(name, only_new=only_new)
            except (OSError, http.client.HTTPException):
                waited_s = time.monotonic() - begun
                if waited_s >= self.patience_s:
                    raise
                self.asked_again, self.longest_wait_s = self.asked_again + 1, max(self.longest_wait_s, waited_s)
                asker.close()
                time.sleep(0.1)

    def _counts(self) -> list[int]:
        symbols = [symbol for symbol, _ in list(self.acknowledged.values())]
        return [symbols.count(symbol) for symbol in SYMBOLS]


class Asker:
    """One bot: one connection that is kept, one symbol, questions as the clients send them."""

    def __init__(self, stack: Stack, symbol: str, key: str, lookback: int) -> None:
        self.symbol, self._strategy, self._lookback = symbol, stack.strategy, lookback
        self._connection = http.client.HTTPConnection("127.0.0.1", stack.ports["PROXY"], timeout=20)
        self._headers = {
            "Authorization": f"Bearer {key}",
            "Content-Type": "application/json",
            "Tidegate-Route": route_of(self._strategy.name, symbol),
        }
        self._bars: Bars | None = None

    def ask(self, request_id: str, *, only_new: bool) -> dict[str, Any]:
        """One question; where the process does not know the window, the whole one at once, as the contract says."""
        status, answer = self._posted(request_id, only_new=only_new)
        if status == 409:
            status, answer = self._posted(request_id, only_new=False)
        if status != 200:
            raise RuntimeError(f"{status}: {str(answer)[:300]}")
        return answer

    def _posted(self, request_id: str, *, only_new: bool) -> tuple[int, dict[str, Any]]:
        window = self._window()
        item: dict[str, Any] = {"symbol": self.symbol, "bars": _columns(window)}
        if only_new:
            newest = window.take(slice(len(window) - 1, None))
            item = {"symbol": self.symbol, "bars": _columns(newest), "after": int(window.opened_at[-2])}
        body = json.dumps({"items": [item], "strategy": self._strategy.name, "request_id": request_id})
        self._connection.request("POST", "/v1/predict", body, self._headers)
        answer = self._connection.getresponse()
        content = answer.read()
        return answer.status, json.loads(content) if "json" in answer.headers.get("Content-Type", "") else {
            "body": content.decode(errors="replace")
        }

    def _window(self) -> Bars:
        """The newest closed bars."""
        now_ms, source = int(time.time() * 1000), self._strategy.source
        interval = Interval(self._strategy.interval)
        if self._bars is None or now_ms >= int(self._bars.closed_at[-1]) + interval.milliseconds:
            assert isinstance(source, SimulatedSource)
            bars = simulate(self.symbol, interval, source, now_ms)
            self._bars = bars.take(slice(len(bars) - self._lookback, None))
        return self._bars

    def close(self) -> None:
        self._connection.close()


def _columns(bars: Bars) -> dict[str, list[float]]:
    return {name: getattr(bars, name).tolist() for name in COLUMNS}


@contextmanager
def asking(stack: Stack, key: str, lookback: int) -> Iterator[Answers]:
    """A bot for each symbol that asks all the time until the block ends, and gives up at its first failure."""
    answers, ending = Answers(), threading.Event()

    def ask_on(symbol: str) -> None:
        asker = Asker(stack, symbol, key, lookback)
        try:
            for count in itertools.count():
                if ending.is_set():
                    return
                name = f"{symbol.partition('/')[0]}-{count}"
                answer = answers.asked(asker, name, only_new=count % 4 != 0)
                assert answer["request_id"] == name
                assert answer["logged"] is True
                assert answer["answers"][0]["problem"] is None
                answers.acknowledged[name] = symbol, answer["answers"][0]["version"]
                time.sleep(_PAUSE_S)
        except Exception as error:  # noqa: BLE001  any failure of a client is what the test looks for
            answers.failed.append(f"{time.strftime('%H:%M:%S')} {symbol}: {type(error).__name__}: {error}")
        finally:
            asker.close()

    with meanwhile([partial(ask_on, symbol) for symbol in SYMBOLS], ending):
        yield answers
