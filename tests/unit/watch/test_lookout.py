import threading
import time

from tests.unit.watch.looks import look

from tidegate.watch.lookout import Lookout
from tidegate.watch.scrape import Look, Target

NOW = 77


def targets(*names: str) -> list[Target]:
    return [Target(name, f"http://{name}") for name in names]


def test_a_process_that_hangs_delays_the_others_by_the_time_limit_at_most() -> None:
    release, asked = threading.Event(), []

    def looking(target: Target) -> Look:
        asked.append(target.instance)
        if target.instance == "slow":
            release.wait(10)
        return look(0, instance=target.instance)

    lookout = Lookout(looking, 0.1, lambda: NOW)
    began = time.monotonic()
    found = lookout.look(targets("slow", "one", "two"))
    assert time.monotonic() - began < 5
    assert [(one.instance, one.reachable) for one in found] == [("slow", False), ("one", True), ("two", True)]
    assert (found[0].at, found[0].missing) == (NOW, {"look": "no answer within 0.1 s"})
    again = lookout.look(targets("slow", "one"))
    assert [(one.instance, one.reachable) for one in again] == [("slow", False), ("one", True)]
    assert again[0].missing == {"look": "the look before has not ended"}
    assert asked.count("slow") == 1
    release.set()
    deadline = time.monotonic() + 5
    while not lookout.look(targets("slow"))[0].reachable:
        assert time.monotonic() < deadline
    lookout.close()


def test_a_look_that_fails_is_not_reachable() -> None:
    def looking(_: Target) -> Look:
        raise ValueError("broken")

    lookout = Lookout(looking, 1, lambda: NOW)
    (found,) = lookout.look(targets("one"))
    assert (found.reachable, found.missing) == (False, {"look": "ValueError: broken"})
    assert lookout.look([]) == []
    lookout.close()
