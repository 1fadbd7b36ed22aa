from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.registry_factories import NOW, REAL, FakeVersions, decision

from tidegate.pipeline.monitor_sources import production_of
from tidegate.registry.database import Database
from tidegate.registry.ledger import Ledger
from tidegate.registry.promotion import Promoter


def test_the_version_before_is_the_one_that_was_left_last(tmp_path: Path) -> None:
    versions = FakeVersions()
    promoter = Promoter(Ledger(Database(f"sqlite:///{tmp_path}/ledger.db", clock=lambda: NOW)), versions)
    job: Any = SimpleNamespace(strategy=SimpleNamespace(name=REAL))
    assert (production_of(job, promoter).version, production_of(job, promoter).before) == (None, None)
    for version in (versions.add(), versions.add(), versions.add()):
        judged, champion = decision(versions.manifests[version]), promoter.current(REAL)
        promoter.promote(REAL, version, judged, actor="test", reason="test", champion=champion)
    found = production_of(job, promoter)
    assert (found.version, found.before, found.entered_at) == (3, 2, NOW)
