"""Whether every serving process really answers with the version that the ledger says, or as halted: asked over HTTP, all at once, until a deadline."""

import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from tidegate.bars.interval import DAY_MS
from tidegate.errors import ConfigurationError, NotVerified, TidegateError
from tidegate.model.bundle import load_bundle
from tidegate.model.manifest import GoldenVector
from tidegate.registry.database import system_clock
from tidegate.registry.instances import Instances
from tidegate.registry.tracking.versions import Tracking
from tidegate.rollback.answers import Asker, Expected, NoAnswer, NotThere, OtherStrategy
from tidegate.settings.settings import Settings

_PAUSE_S: Final = 0.2
_AT_ONCE: Final = 32
_LONGEST_FAULT: Final = 500

Verdict = Literal["verified", "not_verified", "no_instances"]


@dataclass(frozen=True, slots=True)
class Target:
    """A serving process to ask: its name, where it answers, and whether it has not written to the registry for a minute."""

    instance: str
    address: str
    is_silent: bool = False


@dataclass(frozen=True, slots=True)
class Followed:
    """What one instance did.

    Attributes:
        instance: its name.
        address: where it was asked.
        state: `followed`; `behind` when it did not answer as it should by the deadline; `silent` where it has not written to the registry for a
            minute and nobody takes a connection there; `other` where it does not serve the strategy. One that is silent in the registry and
            answers may be cut off from it, goes on with what it has, and is asked like the others.
        after_s: seconds after which it followed, None where it did not.
        detail: what it said last.
    """

    instance: str
    address: str
    state: Literal["followed", "behind", "silent", "other"]
    after_s: float | None
    detail: str


@dataclass(frozen=True, slots=True)
class Verification:
    """All instances of a strategy after an act.

    Attributes:
        strategy: the strategy's name.
        version: the version that must answer; None: halted.
        digest: its manifest's digest.
        began_at: UTC ms.
        took_s: seconds until the last one followed or the deadline.
        instances: by name.
        fault: why nobody could be asked, empty where that was possible.
    """

    strategy: str
    version: int | None
    digest: str | None
    began_at: int
    took_s: float
    instances: tuple[Followed, ...]
    fault: str = ""

    @property
    def verdict(self) -> Verdict:
        """`verified` where every live instance followed and there is one at least; without any, nothing can be said."""
        if self.fault or any(one.state == "behind" for one in self.instances):
            return "not_verified"
        return "verified" if any(one.state == "followed" for one in self.instances) else "no_instances"

    @property
    def behind(self) -> tuple[str, ...]:
        """Names of the instances that did not follow."""
        return tuple(one.instance for one in self.instances if one.state == "behind")

    def summary(self) -> str:
        """One sentence for people."""
        what = "halted" if self.version is None else f"on v{self.version}"
        if self.fault:
            return f"not verified: {self.fault}"
        if self.behind:
            return f"not {what} within {self.took_s:.1f} s: {', '.join(self.behind)}"
        followed = sum(one.state == "followed" for one in self.instances)
        if not followed:
            return "no serving process is known that could be asked"
        return f"all {followed} live serving processes are {what}, the last one after {self.took_s:.1f} s"

    def content(self) -> dict[str, Any]:
        """The event's content."""
        return {
            "version": self.version,
            "digest": self.digest,
            "verdict": self.verdict,
            "began_at": self.began_at,
            "took_s": round(self.took_s, 3),
            "fault": self.fault,
            "instances": [
                {
                    "instance": one.instance,
                    "address": one.address,
                    "state": one.state,
                    "after_s": None if one.after_s is None else round(one.after_s, 3),
                    "detail": one.detail[:300],
                }
                for one in self.instances
            ],
        }

    def require(self) -> None:
        """Fail where an instance did not follow.

        Raises:
            NotVerified: names the instances.
        """
        if self.verdict == "not_verified":
            raise NotVerified(
                f"{self.strategy}: {self.summary()}",
                expected="every live serving process halted" if self.version is None else f"v{self.version} everywhere",
                actual="; ".join(f"{one.instance}: {one.detail}" for one in self.instances if one.state == "behind")
                or None,
                next_step="look at `tidegate instances`; take what does not follow out of the load balancer or stop it",
            )


def verify(
    settings: Settings,
    strategy: str,
    version: int | None,
    digest: str | None,
    *,
    instances: Sequence[Target] | None = None,
    deadline_s: float | None = None,
) -> Verification:
    """Ask every live serving process of a strategy until it answers as it should. Never raises: what cannot be asked is not verified, and says why.

    Args:
        settings: MLflow's address, `watch.instances`, `watch.api_key_file`, `watch.timeout_s`.
        strategy: the strategy's name.
        version: the version that must answer; None: halted.
        digest: its manifest's digest.
        instances: whom to ask; None: `watch.instances`, else those that have registered themselves in MLflow.
        deadline_s: by default `watch.verify_s`.
    """
    began_at, began = system_clock(), time.monotonic()
    try:
        asker = Asker(_api_key(settings), settings.watch.timeout_s)
        asked = list(instances) if instances is not None else live_instances(settings)
        golden = () if version is None or not asked else golden_windows(settings, strategy, version, digest)
    except (TidegateError, OSError) as error:
        return Verification(strategy, version, digest, began_at, time.monotonic() - began, (), _fault(error))
    limit_s = settings.watch.verify_s if deadline_s is None else deadline_s
    expected = Expected(strategy, version, digest, golden)
    with closing(asker):
        followed = follow_all(asked, expected, asker, began=began, ends_at=time.monotonic() + limit_s)
    after = [one.after_s for one in followed if one.after_s is not None]
    behind = any(one.state == "behind" for one in followed)
    took_s = time.monotonic() - began if behind or not after else max(after)
    everyone = sorted(followed, key=lambda one: one.instance)
    return Verification(strategy, version, digest, began_at, took_s, tuple(everyone))


def follow_all(
    targets: Sequence[Target], expected: Expected, asker: Asker, *, began: float, ends_at: float
) -> list[Followed]:
    """Ask all at once; a slow one never delays the others. Times are of the monotonic clock."""
    if not targets:
        return []
    with ThreadPoolExecutor(max_workers=min(_AT_ONCE, len(targets)), thread_name_prefix="verify") as pool:
        return list(pool.map(lambda target: _follow(target, expected, asker, began, ends_at), targets))


def live_instances(settings: Settings) -> list[Target]:
    """Processes to ask: which the settings name, else which have registered themselves and not signed off since, for a day after their last word.

    Raises:
        RegistryError: MLflow could not be reached.
    """
    if settings.watch.instances:
        return [Target(address.partition("://")[2].rstrip("/") or address, address) for address in settings.watch.instances]  # fmt: skip
    now = system_clock()
    return [
        Target(one.instance, one.address, is_silent=not one.alive)
        for one in Instances(settings).all(now)
        if one.fault is None and (one.alive or (one.ready and now - one.heartbeat_at <= DAY_MS))
    ]


def golden_windows(settings: Settings, strategy: str, version: int, digest: str | None) -> tuple[GoldenVector, ...]:
    """The golden windows of a version's bundle, fetched and checked.

    Raises:
        RegistryError: MLflow could not be reached.
        NotVerified: the bundle is not the one with the digest.
        BundleError: a file is missing or altered.
    """
    with tempfile.TemporaryDirectory(prefix="tidegate-verify-") as folder:
        bundle = load_bundle(Tracking(settings).fetch_bundle(strategy, version, Path(folder) / "bundle"))
    if bundle.digest != digest:
        raise NotVerified(
            f"v{version} of {strategy} in MLflow is not what the ledger knows", expected=digest, actual=bundle.digest
        )
    return bundle.golden


def _follow(target: Target, expected: Expected, asker: Asker, began: float, ends_at: float) -> Followed:
    told = "it was not asked"
    while True:
        try:
            _ask_once(target, expected, asker, ends_at)
        except OtherStrategy as other:
            return Followed(target.instance, target.address, "other", None, str(other))
        except NotThere as error:
            if target.is_silent:
                return Followed(target.instance, target.address, "silent", None, str(error))
            told = str(error)
        except NoAnswer as error:
            told = str(error) if time.monotonic() < ends_at or told == "it was not asked" else told
        else:
            return Followed(target.instance, target.address, "followed", time.monotonic() - began, "")
        if time.monotonic() + _PAUSE_S >= ends_at:
            return Followed(target.instance, target.address, "behind", None, told)
        time.sleep(_PAUSE_S)


def _ask_once(target: Target, expected: Expected, asker: Asker, ends_at: float) -> None:
    asker.reload(target.address, expected.strategy, ends_at)
    asker.require_ready(target.address, ends_at)
    if expected.version is None:
        asker.require_halted(target.address, expected.strategy, ends_at)
    elif expected.golden:
        asker.require_golden(target.address, expected, ends_at)
    else:
        raise NoAnswer("there is no golden window to ask")


def _fault(error: TidegateError | OSError) -> str:
    """Why nobody could be asked, and what to do about it."""
    if not isinstance(error, TidegateError):
        return f"{type(error).__name__}: {error}"[:_LONGEST_FAULT]
    step = error.next_step or "run `tidegate rollback` again when that is mended: it only asks"
    return f"{error.what[: _LONGEST_FAULT - len(step)]}; {step}"[:_LONGEST_FAULT]


def _api_key(settings: Settings) -> str | None:
    path = settings.watch.api_key_file
    if path is None:
        return None
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"the API key's file {path} cannot be read",
            actual=str(error)[:200],
            setting="watch.api_key_file",
            next_step="let this process read the file that watch.api_key_file names; `tidegate rollback` once more only asks again",
        ) from error
