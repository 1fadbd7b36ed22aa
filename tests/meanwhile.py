"""Threads that go on while something else happens, such as clients that ask while a server is replaced."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager


@contextmanager
def meanwhile(targets: Sequence[Callable[[], None]], ending: threading.Event) -> Iterator[None]:
    """Run each in a thread of its own; at the end they are told so by the event, and waited for."""
    threads = [threading.Thread(target=target) for target in targets]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ending.set()
        for thread in threads:
            thread.join(30)
