import pytest

from tidegate.registry.instances import Instance
from tidegate.watch.scrape import Target
from tidegate.watch.targets import KEEP_MS, configured, registered

NOW = 10 * KEEP_MS


def instance(*, alive: bool, ready: bool, heartbeat_at: int = NOW, fault: str | None = None) -> Instance:
    return Instance("one", "http://one", ready, (), heartbeat_at, 5, alive, fault)


@pytest.mark.parametrize(
    ("found", "looked_at"),
    [
        pytest.param(instance(alive=True, ready=True), True, id="serving"),
        pytest.param(instance(alive=True, ready=False), True, id="starting or ending"),
        pytest.param(instance(alive=False, ready=True, heartbeat_at=NOW - KEEP_MS), True, id="killed"),
        pytest.param(instance(alive=False, ready=True, heartbeat_at=NOW - KEEP_MS - 1), False, id="killed long ago"),
        pytest.param(instance(alive=False, ready=False), False, id="signed off"),
        pytest.param(instance(alive=False, ready=False, heartbeat_at=0, fault="?"), False, id="unreadable"),
    ],
)
def test_which_registered_processes_are_looked_at(found: Instance, *, looked_at: bool) -> None:
    assert registered([found], NOW) == ([Target("one", "http://one", 5)] if looked_at else [])


def test_configured_addresses_name_the_processes() -> None:
    assert configured(["http://127.0.0.1:8080/", "https://signals.example"]) == [
        Target("127.0.0.1:8080", "http://127.0.0.1:8080/"),
        Target("signals.example", "https://signals.example"),
    ]
