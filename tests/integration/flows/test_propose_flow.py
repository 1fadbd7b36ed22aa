"""The flow of the monthly proposal against a real Prefect server and a real ledger: its tasks, its artifact, its files."""

from pathlib import Path

import pytest
import yaml
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from tests import trial_records

from flows import propose as module
from tidegate.errors import DataError
from tidegate.settings.loading import load_settings

pytestmark = [pytest.mark.slow, pytest.mark.servers, pytest.mark.usefixtures("prefect_server")]


@pytest.fixture
def returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """A project whose ledger holds a margin that earns more than those of the present configuration; the trials' files."""
    monkeypatch.setenv("TIDEGATE_ROOT", str(tmp_path))
    file = tmp_path / "configs" / "strategies" / "btc-1h.yaml"
    file.parent.mkdir(parents=True)
    content = trial_records.strategy().model_dump(mode="json", exclude_unset=True)
    file.write_text(yaml.safe_dump(content))
    tried = trial_records.trials(trial_records.EQUAL | {0.16: 0.0004})
    return trial_records.record(load_settings(tmp_path), tried, tmp_path / "trials")


def test_the_flow_writes_the_proposal_and_shows_it(returns: list[Path], tmp_path: Path) -> None:
    strategy = (tmp_path / "configs" / "strategies" / "btc-1h.yaml").read_text()

    (found,) = module.propose("btc-1h", "2025-02")

    assert returns
    assert found["change"] == {"policy": {"margins": [0.16]}}
    folder = tmp_path / "runs" / "btc-1h" / "proposals"
    assert sorted(path.name for path in folder.iterdir()) == ["2025-02.md", "2025-02.yaml"]
    assert yaml.safe_load((folder / "2025-02.yaml").read_text()) == found["change"]
    with get_client(sync_client=True) as client:
        (artifact,) = client.read_artifacts(
            artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=["proposal-btc1h"]))
        )
    assert artifact.data == (folder / "2025-02.md").read_text()
    assert artifact.description == found["advice"]
    # Proposed, and not applied.
    assert (tmp_path / "configs" / "strategies" / "btc-1h.yaml").read_text() == strategy


def test_returns_that_were_altered_fail_the_run_at_once_and_propose_nothing(
    returns: list[Path], tmp_path: Path
) -> None:
    returns[0].write_bytes(returns[1].read_bytes())

    state = module.propose("btc-1h", "2025-02", return_state=True)

    assert state.is_failed()
    assert isinstance(state.result(raise_on_failure=False), DataError)
    assert not (tmp_path / "runs" / "btc-1h" / "proposals").exists()
