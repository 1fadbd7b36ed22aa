"""Serving processes behind HAProxy: the new one takes a free server of the backend, and the old one is drained. No request is cut off.

Which servers are new and which were old is written down before anything is changed, so that a kill at any point, or a process that has died, loses nothing.
"""

import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from tidegate.deployment.haproxy import Backend, Server, State, address_of
from tidegate.deployment.ports import Replicas
from tidegate.durable import write_whole
from tidegate.errors import ServiceError
from tidegate.settings.settings import Settings

_PAUSE_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Change:
    """What a deployment changes in the backend.

    Attributes:
        new: name of a server that was free to the address and port that it gets.
        old: names of servers that had requests before.
    """

    new: Mapping[str, tuple[str, int]]
    old: tuple[str, ...]

    def content(self) -> str:
        """As it is kept."""
        return json.dumps({"new": {name: list(where) for name, where in self.new.items()}, "old": list(self.old)})

    @classmethod
    def read(cls, text: str) -> "Change":
        """As `content` wrote it."""
        told = json.loads(text)
        return cls({name: (where[0], where[1]) for name, where in told["new"].items()}, tuple(told["old"]))


@dataclass(frozen=True, slots=True)
class Proxied:
    """Replicas of which HAProxy is told.

    Attributes:
        inner: starts and stops them.
        backend: of HAProxy.
        settings: `deploy.*`.
        file: where the change is kept.
    """

    inner: Replicas
    backend: Backend
    settings: Settings
    file: Path

    def addresses(self) -> list[str]:
        """Where the inner ones listen, without the proxy."""
        return self.inner.addresses()

    def pull(self) -> str:
        """As the inner ones."""
        return self.inner.pull()

    def start(self) -> str:
        """See that a server is free for the new one, and start it."""
        if self._kept() is None and not self.inner.addresses():
            self._require_free(self.backend.servers(), 1)
        return self.inner.start()

    def require_healthy(self) -> str:
        """As the inner ones."""
        return self.inner.require_healthy()

    def switch(self) -> str:
        """Give the new one an address in the backend; once HAProxy's own checks pass, send requests there, and no new ones to the old."""
        change = self._change()
        for name, (address, port) in change.new.items():
            self._introduce(name, address, port)
        self._wait_running(change.new, "the new server does not pass HAProxy's checks")
        self._set(change.new, "ready")
        self._wait_running(change.new, "the new server does not pass HAProxy's checks")
        self._set(change.old, "drain")
        left = self._wait_done(change.old)
        self._keep_state()
        return f"requests go to {_named(change.new)}; {_named(change.old)} is drained, {left}"

    def back(self) -> str:
        """Send requests to the old one again. What hinders it is said and hinders nothing else: `stop_new` asks for it again, and insists."""
        try:
            return self._go_back()
        except ServiceError as error:
            return f"requests could not be sent back yet: {error}"

    def stop_old(self) -> str:
        """Take the drained old one out of the backend, and stop it."""
        if self._kept() is not None and not self.inner.addresses():
            # It has died since the watch: first the new one again, on whatever port it gets now.
            self.inner.start()
            self.inner.require_healthy()
            self.switch()
        change = self._kept()
        if change is not None:
            self._wait_running(change.new, "the old server is not stopped: the new one does not pass HAProxy's checks")
            self._set(change.old, "maint")
            self._keep_state()
        return self.inner.stop_old()

    def stop_new(self) -> str:
        """Take the new one out of the backend, and stop it."""
        change = self._kept()
        if change is not None:
            self._go_back()
            self._set(change.new, "maint")
            self._keep_state()
        return self.inner.stop_new()

    def _change(self) -> Change:
        """The change that is kept, else one that is made and kept now. A new one that was started again may listen elsewhere."""
        kept, wanted = self._kept(), [_where(one) for one in self.inner.addresses()]
        if not wanted:
            raise ServiceError("the new serving process has ended", next_step="see its log, and give the command again")
        if kept is not None:
            if len(wanted) == len(kept.new) and set(wanted) != set(kept.new.values()):
                kept = Change(dict(zip(kept.new, wanted, strict=True)), kept.old)
                write_whole(self.file, kept.content())
            return kept
        servers = self.backend.servers()
        free = self._require_free(servers, len(wanted))
        change = Change(
            new=dict(zip(free, wanted, strict=False)),
            old=tuple(name for name, one in servers.items() if not one.is_free and not one.is_drained),
        )
        write_whole(self.file, change.content())
        return change

    def _kept(self) -> Change | None:
        try:
            return Change.read(self.file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            raise ServiceError(
                f"{self.file}, which says what this deployment changes at HAProxy, is damaged: {error}",
                next_step="send requests to the old server by hand (`set server ... state ready`), delete the file, and give the command again",
            ) from error

    def _require_free(self, servers: Mapping[str, Server], count: int) -> list[str]:
        free = [name for name, one in servers.items() if one.is_free]
        if len(free) < count:
            raise ServiceError(
                f"no server of HAProxy's backend {self.backend.name} is free for the new process",
                expected=f"{count} in maintenance",
                actual=len(free),
                setting="deploy.proxy_backend",
                next_step="give the backend another server, with the word `disabled`",
            )
        return free

    def _introduce(self, name: str, address: str, port: int) -> None:
        """Have a server at its address, checked anew, and without requests. One that has them already is left alone."""
        found = self.backend.servers()[name]
        if (found.address, found.port) == (address, port) and not found.is_free and not found.is_drained:
            return
        self.backend.place(name, address, port)
        self.backend.set(name, "drain")
        self.backend.doubt(name)

    def _go_back(self) -> str:
        change = self._kept()
        if change is None:
            return "requests were never sent elsewhere"
        self._set(change.old, "ready")
        if change.old:
            self._wait_running(change.old, "the old server does not pass HAProxy's checks")
        self._set(
            [name for name, one in self.backend.servers().items() if name in change.new and not one.is_free], "drain"
        )
        left = self._wait_done(change.new)
        self._keep_state()
        return f"requests go to {_named(change.old)} again; {_named(change.new)} is drained, {left}"

    def _set(self, names: Iterable[str], state: State) -> None:
        for name in names:
            self.backend.set(name, state)

    def _wait_running(self, names: Iterable[str], told: str) -> None:
        def late() -> list[str]:
            servers = self.backend.servers()
            return [name for name in names if name not in servers or not servers[name].is_running]

        left = _wait(late, self.settings.deploy.ready_s)
        if left:
            raise ServiceError(
                f"{told}: {_named(left)}",
                expected=f"within {self.settings.deploy.ready_s:g} s",
                setting="deploy.ready_s",
                next_step="see HAProxy's log, and that its servers have the word `check`; then give the command again",
            )

    def _wait_done(self, names: Iterable[str]) -> str:
        """Wait for what is under way at some servers; they still run, so that waiting for longer would save nothing."""
        left = _wait(
            lambda: [name for name in names if self.backend.servers()[name].under_way], self.settings.deploy.drain_s
        )
        return f"with requests under way at {_named(left)}" if left else "with no request under way"

    def _keep_state(self) -> None:
        """Have HAProxy find at its next start what was changed at run time."""
        path = self.settings.deploy.proxy_state_file
        if path is not None:
            write_whole(path, self.backend.state())


def _wait(left: Callable[[], list[str]], limit_s: float) -> list[str]:
    """Ask until nothing is left, and give what is left at the end."""
    ends_at = time.monotonic() + limit_s
    while (found := left()) and time.monotonic() < ends_at:
        time.sleep(_PAUSE_S)
    return found


def _where(address: str) -> tuple[str, int]:
    parts = urlsplit(address)
    if parts.hostname is None:
        raise ServiceError(f"{address} is no address of a serving process", setting="deploy.new_instances")
    return address_of(parts.hostname), parts.port or (443 if parts.scheme == "https" else 80)


def _named(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
