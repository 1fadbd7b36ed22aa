"""What this machine has, as it is."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tidegate.checklist.context import Context
from tidegate.checklist.finding import Finding, NotMeasured, judged
from tidegate.checklist.probe import Probe

CORES, MEMORY_GB, DISK_GB = 4, 4.0, 50.0
_GB: Final = 1e9
_CGROUP: Final = Path("/sys/fs/cgroup")
_NETWORKS: Final = Path("/sys/class/net")
_BYTES_A_REQUEST: Final = 64_000
"""Of a whole window and its answer; most requests hold one bar."""


def cpu(context: Context) -> Finding:
    """Processors that this process may use."""
    del context
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 0
    quota = _quota()
    cores = usable if quota is None else min(usable, quota)
    told = "" if quota is None else f", the container allows {quota:g}"
    return judged(cores >= CORES, f"{usable} processors{told}; {CORES} are recommended")


def _quota() -> float | None:
    path = _CGROUP / "cpu.max"
    if not path.is_file():
        return None
    given, _, period = path.read_text(encoding="utf-8").partition(" ")
    return None if given == "max" else int(given) / int(period)


def memory(context: Context) -> Finding:
    """Memory of the machine, or what the container allows."""
    del context
    path = Path("/proc/meminfo")
    if not path.is_file():
        raise NotMeasured("this system does not say how much memory it has")
    lines = dict(line.split(":", 1) for line in path.read_text(encoding="utf-8").splitlines() if ":" in line)
    total = int(lines["MemTotal"].split()[0]) * 1024 / _GB
    free = int(lines["MemAvailable"].split()[0]) * 1024 / _GB
    limit = _CGROUP / "memory.max"
    allowed = limit.read_text(encoding="utf-8").strip() if limit.is_file() else "max"
    usable = total if allowed == "max" else min(total, int(allowed) / _GB)
    return judged(
        usable >= MEMORY_GB,
        f"{usable:.1f} GB, {free:.1f} GB of the machine's are free; {MEMORY_GB:g} GB are recommended",
    )


def disk(context: Context) -> Finding:
    """The disks that hold data, runs, models and logs: each of them has the list's size and is not full."""
    paths, logs = context.settings.paths, context.settings.logs.file
    places = dict.fromkeys(
        _existing(one) for one in (paths.data, paths.runs, paths.mlruns, *(() if logs is None else (logs.parent,)))
    )
    disks = {place.stat().st_dev: (place, shutil.disk_usage(place)) for place in reversed(places)}
    told = [f"{use.total / _GB:.0f} GB at {place}, {use.free / _GB:.0f} GB free" for place, use in disks.values()]
    enough = all(use.total / _GB >= DISK_GB and use.free > 0.1 * use.total for _, use in disks.values())
    return judged(enough, f"{'; '.join(told)}; {DISK_GB:g} GB are recommended")


def _existing(place: Path) -> Path:
    return place if place.exists() else _existing(place.parent)


def network(context: Context) -> Finding:
    """The fastest link that is up carries ten times what the expected requests need."""
    needed = context.settings.serving.expected_rps * _BYTES_A_REQUEST * 8 / 1e6
    speeds: dict[str, int] = {}
    for link in sorted(_NETWORKS.iterdir()) if _NETWORKS.is_dir() else ():
        try:
            speeds[link.name] = int((link / "speed").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue  # a link that is down, or has no speed, as the loopback
    known = {name: speed for name, speed in speeds.items() if speed > 0}
    if not known:
        raise NotMeasured(
            f"no link of this machine tells its speed; {needed:.1f} Mbit/s are needed at serving.expected_rps"
        )
    name, best = max(known.items(), key=lambda one: one[1])
    evidence = f"{name} has {best} Mbit/s; {context.settings.serving.expected_rps:g} requests a second need {needed:.1f} Mbit/s"
    return judged(best >= 10 * needed, evidence)


PROBES: Final[Mapping[str, Probe]] = {
    "resources.cpu": cpu,
    "resources.memory": memory,
    "resources.disk": disk,
    "resources.network": network,
}
