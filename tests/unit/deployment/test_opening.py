"""Who is verified and watched: those that the settings name or that have registered themselves, and what this deployment started."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from tidegate.deployment import opening
from tidegate.deployment.journal import Plan
from tidegate.rollback.verification import Target, Verification
from tidegate.settings.deploy import COMMANDS, Deploy
from tidegate.settings.operations import Watch
from tidegate.settings.settings import Settings

PLAN = Plan("small", 1, 2, "d" * 64, (), 1, True, "ann", "why", 30.0)
OLD, NEW = "http://127.0.0.1:8081", "http://127.0.0.1:8082"


def settings(instances: str, **changes: object) -> Settings:
    given = dict.fromkeys(COMMANDS, "true") | {"replicas": "commands", "new_instances": NEW} | changes
    return Settings(deploy=Deploy.model_validate(given), watch=Watch.model_validate({"instances": instances}))


@pytest.mark.parametrize(
    ("instances", "changes", "expected"),
    [
        (OLD, {}, [OLD, NEW]),
        (f"{OLD},{NEW}/", {}, [OLD, f"{NEW}/"]),
        (OLD, {"replicas": "follow"}, [OLD]),
    ],
    ids=["beside it", "named already", "nothing is started"],
)
def test_what_a_deployment_started_is_watched_and_verified_beside_those_that_are_named(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    instances: str,
    changes: dict[str, object],
    expected: list[str],
) -> None:
    given = settings(instances, **changes)
    there = opening.There(given, tmp_path, tmp_path)
    assert [one.address for one in there.targets()] == [one for one in expected if one != NEW], "none is started yet"
    there.replicas("deploy-1", PLAN)
    assert [one.address for one in there.targets()] == expected
    asked: list[str] = []

    def verify(
        _settings: Settings, strategy: str, version: int, digest: str, *, instances: Sequence[Target]
    ) -> Verification:
        asked.extend(one.address for one in instances)
        return Verification(strategy, version, digest, 0, 0.0, ())

    monkeypatch.setattr(opening, "verify", verify)
    there.verifies("small", 2, "d" * 64)
    assert asked == expected
