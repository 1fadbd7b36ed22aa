"""The switch through a real HAProxy: nobody's request fails, a kill at any order loses nothing, and what cannot be is refused before anything has changed."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from tests.integration.deployment.proxy import Answers, Named, Proxy, asking, haproxy

from tidegate.deployment.haproxy import Backend, State
from tidegate.deployment.proxied import Proxied
from tidegate.errors import ServiceError
from tidegate.settings.deploy import Deploy
from tidegate.settings.settings import Settings

pytestmark = pytest.mark.slow


@dataclass
class Inner:
    """Replicas that are servers of this process: the new one is started, and either is stopped with whatever it still answers."""

    old: Named
    is_ready: bool = True
    keeps: bool = False
    new: Named | None = None
    stopped: list[str] = field(default_factory=list)

    def pull(self) -> str:
        return "nothing"

    def start(self) -> str:
        self.new = self.new or Named("new", is_ready=self.is_ready)
        return "started"

    def addresses(self) -> list[str]:
        return [] if self.new is None else [f"http://localhost:{self.new.port}"]

    def require_healthy(self) -> str:
        return "healthy"

    def switch(self) -> str:
        raise AssertionError("HAProxy switches")

    back = switch

    def die(self) -> int:
        """The new one is gone; its port."""
        assert self.new is not None
        gone, self.new = self.new, None
        gone.close()
        return gone.port

    def stop_old(self) -> str:
        return self._stop(self.old)

    def stop_new(self) -> str:
        return "none" if self.new is None else self._stop(self.new)

    def _stop(self, server: Named) -> str:
        if server.name not in self.stopped and not self.keeps:
            server.close()
            self.stopped.append(server.name)
        return "stopped"


@dataclass
class Place:
    """A proxy with one old server, and a deployment."""

    folder: Path
    proxy: Proxy
    inner: Inner
    answers: Answers

    def replicas(self, backend: Backend | None = None, **changes: object) -> Proxied:
        """As a command makes them, each time anew."""
        given = {"replicas": "processes", "proxy_socket": self.proxy.api, "ready_s": 20, **changes}
        settings = Settings(deploy=Deploy.model_validate(given | {"proxy_state_file": self.proxy.state_file}))
        return Proxied(self.inner, backend or self.proxy.backend, settings, self.folder / "deployment.proxy")

    def states(self) -> dict[str, str]:
        servers = self.proxy.backend.servers().values()
        return {one.name: "free" if one.is_free else "drained" if one.is_drained else "ready" for one in servers}


@pytest.fixture(params=[False, True], ids=["unix", "tcp"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    yield from made(tmp_path, over_tcp=request.param)


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Place]:
    yield from made(tmp_path)


def made(folder: Path, *, over_tcp: bool = False) -> Iterator[Place]:
    with ExitStack() as stack:
        old = Named("old")
        proxy = stack.enter_context(haproxy(folder, old.port, over_tcp=over_tcp))
        answers = stack.enter_context(asking(proxy.port))
        found = Place(folder, proxy, Inner(old), answers)
        yield found
        found.inner.stop_old()
        found.inner.stop_new()


def test_no_request_fails_while_the_new_one_takes_over_and_the_old_one_is_stopped(place: Place) -> None:
    place.answers.from_now_on("old")
    place.replicas().start()
    place.answers.from_now_on("old")
    told = place.replicas().switch()
    assert told == "requests go to green; blue is drained, with no request under way"
    place.answers.from_now_on("new")
    assert place.states() == {"blue": "drained", "green": "ready"}
    place.replicas().stop_old()
    place.answers.from_now_on("new")
    assert place.states() == {"blue": "free", "green": "ready"}
    assert (place.inner.stopped, place.answers.failed) == (["old"], [])


def test_no_request_fails_on_the_way_back(one: Place) -> None:
    one.replicas().start()
    one.replicas().switch()
    one.answers.from_now_on("new")
    assert one.replicas().back() == "requests go to blue again; green is drained, with no request under way"
    one.answers.from_now_on("old")
    one.replicas().stop_new()
    one.answers.from_now_on("old")
    assert one.states() == {"blue": "ready", "green": "free"}
    assert (one.inner.stopped, one.answers.failed) == (["new"], [])


def test_the_next_deployment_takes_the_server_that_is_free_now(one: Place) -> None:
    one.replicas().start()
    one.replicas().switch()
    one.replicas().stop_old()
    before = one.inner.new
    assert before is not None
    before.name = "second"
    one.inner = Inner(before)
    one.folder = one.folder / "next"
    one.replicas().start()
    assert one.replicas().switch() == "requests go to blue; green is drained, with no request under way"
    one.answers.from_now_on("new")
    assert one.answers.failed == []


def test_one_that_haproxy_finds_ill_gets_no_request(one: Place) -> None:
    one.inner.is_ready = False
    one.replicas().start()
    with pytest.raises(ServiceError, match="does not pass HAProxy's checks: green"):
        one.replicas(ready_s=2).switch()
    one.answers.from_now_on("old")
    assert one.states() == {"blue": "ready", "green": "drained"}
    one.replicas().back()
    one.replicas().stop_new()
    assert one.states() == {"blue": "ready", "green": "free"}
    assert (one.answers.by["new"], one.answers.failed) == (0, [])


class Killed(BaseException):
    """Where a process is killed nothing is tidied up."""


@dataclass(frozen=True, slots=True)
class Dying(Backend):
    """Gives so many orders; the process is killed before the next."""

    orders: list[int] = field(default_factory=list)

    def place(self, server: str, address: str, port: int) -> None:
        self._count()
        Backend.place(self, server, address, port)

    def set(self, server: str, state: State) -> None:
        self._count()
        Backend.set(self, server, state)

    def doubt(self, server: str) -> None:
        self._count()
        Backend.doubt(self, server)

    def _count(self) -> None:
        self.orders[0] -= 1
        if self.orders[0] < 0:
            raise Killed


def killed(place: Place, orders: int, step: Callable[[Proxied], str]) -> bool:
    """Take a step in a process that is killed after so many orders; whether it was killed."""
    backend = Dying(place.proxy.api, "serving", 2.0, [orders])
    try:
        step(place.replicas(backend))
    except Killed:
        return True
    return False


def test_a_kill_at_any_order_loses_nothing(one: Place) -> None:
    one.replicas().start()
    one.inner.keeps = True
    kills: Counter[str] = Counter()
    for orders in range(6):
        kills["switch"] += killed(one, orders, Proxied.switch)
        one.replicas().switch()
        one.answers.from_now_on("new", 5)
        assert one.states() == {"blue": "drained", "green": "ready"}
        kills["stop_new"] += killed(one, orders, Proxied.stop_new)
        one.replicas().stop_new()
        one.answers.from_now_on("old", 5)
        assert one.states() == {"blue": "ready", "green": "free"}
    # All orders that each step has; the last rounds ran through.
    assert (kills, one.answers.failed) == ({"switch": 5, "stop_new": 3}, [])
    one.inner.keeps = False


def test_what_was_switched_outlives_haproxy(one: Place) -> None:
    one.replicas().start()
    one.replicas().switch()
    one.answers.from_now_on("new")
    one.proxy.kill()
    one.proxy.start()
    one.answers.failed.clear()  # those of the moment without a proxy
    one.answers.from_now_on("new")
    assert one.states() == {"blue": "drained", "green": "ready"}
    one.replicas().stop_old()
    one.answers.from_now_on("new")


def test_a_server_that_somebody_drained_is_left_alone(one: Place) -> None:
    one.replicas().start()
    one.replicas().switch()
    one.replicas().stop_old()
    one.proxy.backend.place("blue", "127.0.0.1", 9)
    one.proxy.backend.set("blue", "drain")
    one.folder = one.folder / "next"
    assert one.replicas().back() == "requests were never sent elsewhere"
    with pytest.raises(ServiceError, match="no server of HAProxy's backend serving is free"):
        replace(one.replicas(), inner=Inner(one.inner.old)).start()
    assert one.states() == {"blue": "drained", "green": "ready"}


def test_a_proxy_that_is_gone_hinders_no_rollback_and_stops_nothing(one: Place) -> None:
    one.replicas().start()
    one.replicas().switch()
    one.proxy.kill()
    assert "requests could not be sent back yet" in one.replicas().back()
    with pytest.raises(ServiceError, match="HAProxy does not answer"):
        one.replicas().stop_new()
    with pytest.raises(ServiceError, match="HAProxy does not answer"):
        one.replicas().stop_old()
    assert one.inner.stopped == []


def test_what_haproxy_refuses_is_told(one: Place) -> None:
    with pytest.raises(ServiceError, match="does not tell the servers of backend other"):
        Backend(one.proxy.api, "other", 2.0).servers()
    with pytest.raises(
        ServiceError, match=r"HAProxy at .* refused `set server serving/none state ready`: No such server"
    ):
        one.proxy.backend.set("none", "ready")
    with pytest.raises(ServiceError, match=r"HAProxy does not answer at /nowhere/admin\.sock"):
        Backend("/nowhere/admin.sock", "serving", 2.0).servers()


def test_a_new_process_that_was_started_again_elsewhere_gets_requests_there(one: Place) -> None:
    one.replicas().start()
    one.replicas().switch()
    before = one.inner.die()
    one.replicas().start()
    assert one.replicas().switch().startswith("requests go to green")
    assert one.states() == {"blue": "drained", "green": "ready"}
    assert one.inner.addresses() == [f"http://localhost:{one.proxy.backend.servers()['green'].port}"]
    assert one.inner.addresses() != [f"http://localhost:{before}"]


def test_before_the_old_one_is_stopped_a_new_one_that_has_died_is_started_again(one: Place) -> None:
    one.replicas().start()
    one.replicas().switch()
    one.inner.die()
    one.replicas().stop_old()
    assert (one.inner.stopped, one.states()) == (["old"], {"blue": "free", "green": "ready"})
    assert one.inner.addresses() == [f"http://localhost:{one.proxy.backend.servers()['green'].port}"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"new": {"green": []}, "old": []}'])
def test_a_damaged_note_of_the_change_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "deployment.proxy").write_text(text)
    settings = Settings(deploy=Deploy.model_validate({"replicas": "processes", "proxy_socket": "127.0.0.1:1"}))
    server = Named("old")
    try:
        given = Proxied(Inner(server), Backend("127.0.0.1:1", "serving", 1.0), settings, tmp_path / "deployment.proxy")
        for act in (given.stop_old, given.stop_new):
            with pytest.raises(ServiceError, match="is damaged"):
                act()
        assert given.inner.addresses() == []
        assert "is damaged" in given.back(), "it hinders no rollback"
    finally:
        server.close()
