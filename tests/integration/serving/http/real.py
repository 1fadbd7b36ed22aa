"""The real service with a small real model from its disk cache, the registry out of reach: `python -m tests.integration.serving.http.real`."""

from pathlib import Path
from typing import Any

from tests.integration.serving.http.stand_in import say
from tests.unit.model.small_model import SYMBOL, small_bundle, small_dataset, window_ending

from tidegate.bars.bars import COLUMNS
from tidegate.serving.bundle_cache import BundleCache, Entry
from tidegate.serving.http.process_log import log_to_stderr
from tidegate.serving.http.server import run
from tidegate.serving.service import Service
from tidegate.settings.loading import load_settings

ROW = 1400
FAR_MS = 10**14


def prepared(folder: Path) -> dict[str, Any]:
    """Put a model into a cache, and give the settings of a service that serves it."""
    bundle = small_bundle(folder / "made", expires_at=FAR_MS)
    cache = BundleCache(folder / "cache")
    cache.store("small", bundle, {})
    cache.keep("small", [Entry(1, bundle.digest)])
    return {
        "strategies": "small",
        "cache": folder / "cache",
        "log_folder": folder / "log",
        "registry_uri": "http://127.0.0.1:1",
        "registry_retries": 0,
        "start_wait_s": 0.1,
        "poll_s": 3600,
        "allow_unsigned": "true",
        "clock": "bars",
        "rate_limit_rps": 1_000_000,
    }


def whole_window() -> dict[str, Any]:
    """A request that is answered with a signal."""
    window = window_ending(ROW)
    columns = {name: getattr(window, name).tolist() for name in COLUMNS}
    return {"items": [{"symbol": SYMBOL, "bars": columns}]}


def new_bar(at: int = 1) -> dict[str, Any]:
    """A request with one bar after the window's last one."""
    bars = small_dataset().tables[0].bars
    columns = {name: [getattr(bars, name)[ROW + at].item()] for name in COLUMNS}
    position = {"side": 1, "entry_price": columns["close"][0], "bars_held": 2}
    after = int(bars.opened_at[ROW + at - 1])
    return {"items": [{"symbol": SYMBOL, "bars": columns, "after": after, "position": position}]}


if __name__ == "__main__":
    log_to_stderr()
    run(load_settings(), Service, announce=say)
