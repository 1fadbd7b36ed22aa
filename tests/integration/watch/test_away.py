"""The real watch while MLflow or the ledgers cannot be reached: it looks on, acts not, tells once, and says so in its metrics."""

import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from tests.integration.watch.test_scrape import GOOD, serving
from tests.servers import free_port

from tidegate.registry.database import Database
from tidegate.registry.events import EventLedger
from tidegate.settings.operations import Watch
from tidegate.settings.settings import Ledger, Mlflow, Paths, Settings
from tidegate.watch.opening import opened

STRATEGY = """\
version: 1
name: watched
kind: real
symbols: [BTC/USDT]
interval: 5m
source: {type: file, path: bars.csv}
"""


def settings(folder: Path, address: str, **changes: Any) -> Settings:  # noqa: ANN401
    (folder / "strategies").mkdir()
    (folder / "strategies" / "watched.yaml").write_text(STRATEGY)
    fields: dict[str, Any] = {
        "paths": Paths(data=folder / "data", runs=folder / "runs", strategies=folder / "strategies"),
        "mlflow": Mlflow(tracking_uri=f"http://127.0.0.1:{free_port()}", timeout_s=1, retries=0),
        "watch": Watch(port=0, poll_s=0.1, registry_poll_s=0.2, instances=(address,)),
    }
    return Settings(**(fields | changes))


def running(chosen: Settings, until: Callable[[str], bool]) -> str:
    """Run the watch until its metrics are as they should be, and return them."""
    stop = threading.Event()
    with opened(chosen) as (watch, address):
        thread = threading.Thread(target=watch.run, args=(stop,))
        thread.start()
        try:
            deadline = time.monotonic() + 30
            while not until(text := get(f"{address}/metrics")):
                assert time.monotonic() < deadline, text
                time.sleep(0.1)
            assert get(f"{address}/healthz") == '{"turning": true}'
        finally:
            stop.set()
            thread.join(60)
        assert not thread.is_alive()
        return get(f"{address}/metrics")


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        text: str = answer.read().decode()
        return text


def value(text: str, name: str) -> float:
    return next((float(line.split()[-1]) for line in text.splitlines() if line.startswith(name)), 0.0)


@pytest.mark.slow
def test_without_mlflow_looks_go_on_and_people_are_told_once(tmp_path: Path) -> None:
    with serving(GOOD) as address:
        chosen = settings(tmp_path, address)
        name = address.removeprefix("http://")
        looks = f'tidegate_watch_looks_total{{instance="{name}",result="whole"}}'
        registry = 'tidegate_watch_errors_total{kind="registry"}'
        text = running(chosen, lambda text: value(text, looks) > 5 and value(text, registry) > 1)
    assert value(text, f'tidegate_instance_version{{instance="{name}",strategy="s"}}') == 3
    assert value(text, 'tidegate_production_version{strategy="watched"}') == 0
    assert 'tidegate_rule_fired{action="roll_back",rule="errors",strategy="watched"} -1.0' in text
    rows = EventLedger(Database(chosen.ledger_url)).rows()
    assert [row.content["title"].partition(":")[0] for row in rows if row.kind == "notification"] == [
        "the watch cannot reach the registry or the ledgers"
    ]


def test_without_the_ledgers_nothing_is_shown_of_them_and_the_loop_turns(tmp_path: Path) -> None:
    url = f"postgresql+psycopg://nobody@127.0.0.1:{free_port()}/none"
    with serving(GOOD) as address:
        chosen = settings(tmp_path, address, ledger=Ledger(url=SecretStr(url), busy_timeout_s=1))
        ledgers = 'tidegate_watch_errors_total{kind="ledgers"}'
        text = running(chosen, lambda text: value(text, ledgers) > 1)
    assert "tidegate_production_version{" not in text
    assert value(text, "tidegate_watch_last_look_timestamp_seconds") > 0
