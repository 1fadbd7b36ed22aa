import threading
import time

from tidegate.watch.lane import Lane


def test_jobs_are_done_in_order_and_an_error_ends_nothing() -> None:
    errors: list[tuple[str, str]] = []
    done: list[str] = []
    ended = threading.Event()
    lane = Lane("test", lambda name, error: errors.append((name, str(error))))
    hold = threading.Event()
    lane.submit("first", lambda: (hold.wait(5), done.append("first"))[1])  # type: ignore[func-returns-value]
    lane.submit("broken", [].pop)
    lane.submit("last", lambda: (done.append("last"), ended.set())[1])  # type: ignore[func-returns-value]
    hold.set()
    assert ended.wait(5)
    assert done == ["first", "last"]
    assert errors == [("broken", "pop from empty list")]
    assert lane.stop(5)


def test_a_name_that_waits_is_not_taken_twice_and_one_under_way_is_done_again() -> None:
    lane = Lane("test", lambda *_: None)
    begun, hold, count = threading.Event(), threading.Event(), []

    def job() -> None:
        begun.set()
        hold.wait(5)
        count.append(1)

    assert lane.submit("job", job)
    assert begun.wait(5)
    assert lane.submit("job", job)
    assert not lane.submit("job", job)
    hold.set()
    deadline = time.monotonic() + 5
    while len(count) < 2 and time.monotonic() < deadline:
        time.sleep(0.005)
    assert lane.stop(5)
    assert len(count) == 2


def test_a_stop_finishes_the_job_under_way_and_leaves_the_others() -> None:
    lane = Lane("test", lambda *_: None)
    begun, hold, done = threading.Event(), threading.Event(), []
    lane.submit("a", lambda: (begun.set(), hold.wait(5), done.append("a"))[2])  # type: ignore[func-returns-value]
    lane.submit("b", lambda: done.append("b"))
    assert begun.wait(5)
    assert not lane.stop(0.01)
    assert not lane.submit("c", lambda: done.append("c"))
    hold.set()
    assert lane.stop(5)
    assert done == ["a"]


def test_how_long_a_job_has_been_under_way_is_known() -> None:
    now = [100.0]
    lane = Lane("test", lambda *_: None, lambda: now[0])
    begun, hold, ended = threading.Event(), threading.Event(), threading.Event()
    assert lane.busy_s == 0.0

    def job() -> None:
        begun.set()
        hold.wait(5)

    lane.submit("job", job)
    lane.submit("next", ended.set)
    assert begun.wait(5)
    now[0] += 90.0
    assert lane.busy_s == 90.0
    hold.set()
    assert ended.wait(5)
    assert lane.stop(5)
    assert lane.busy_s == 0.0
