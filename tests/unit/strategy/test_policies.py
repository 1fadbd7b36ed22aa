"""Named gate policies: the files say what the code says, a strategy's own rules lie on top, and an unknown name is told."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from tidegate.errors import ConfigurationError
from tidegate.strategy.gates import POLICIES, GateRule, Gates
from tidegate.strategy.policies import built_in, load_policy, named_policies, under
from tidegate.strategy.strategy import Strategy, find_strategy, load_strategy

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "configs" / "policies"
STATISTICS = (
    "skill", "deflated_sharpe", "track_record", "sharpe_lower", "win_rate_lower", "overfitting", "cost_stress",
    "break_even_cost", "capacity", "random_entries", "permuted_labels", "champion_difference", "superior",
)  # fmt: skip


def strategy_file(project: Path, gates: object, name: str = "mine") -> Path:
    content = yaml.safe_load((ROOT / "configs" / "strategies" / "eurusd-sample.yaml").read_text(encoding="utf-8"))
    path = project / "configs" / "strategies" / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content | {"name": name} | ({} if gates is None else {"gates": gates})))
    return path


def policy_file(project: Path, name: str, content: dict[str, Any]) -> Path:
    path = project / "configs" / "policies" / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content))
    return path


def test_the_files_are_the_policies_that_the_code_knows() -> None:
    assert sorted(path.stem for path in FOLDER.iterdir()) == sorted(POLICIES)
    assert named_policies(FOLDER) == built_in()
    assert built_in()["balanced"] == Gates()


def test_what_is_tightened_for_all_is_tightened_in_every_policy(tmp_path: Path) -> None:
    policy_file(tmp_path, "balanced", {"max_drawdown": {"threshold": 0.05}, "yearly_error": 0.02})
    strict = load_policy(policy_file(tmp_path, "strict", {"yearly_error": 0.01}))
    mine = load_policy(policy_file(tmp_path, "mine", {"max_drawdown": {"blocking": False}}))
    assert (strict.max_drawdown.threshold, strict.yearly_error, strict.policy) == (0.05, 0.01, "strict")
    assert (mine.max_drawdown, mine.yearly_error) == (GateRule(threshold=0.05, blocking=False), 0.02)


def test_balanced_is_written_out_in_full() -> None:
    written = yaml.safe_load((FOLDER / "balanced.yaml").read_text(encoding="utf-8"))
    assert set(written) == set(Gates.model_fields) - {"policy"}


def test_what_blocks_under_which_policy() -> None:
    blocking = {
        name: {gate for gate, rule in policy.rules().items() if rule.blocking} for name, policy in built_in().items()
    }
    points = set(Gates().rules()) - set(STATISTICS) - {"recommended_train_days"}
    assert blocking["checklist"] == points
    assert blocking["balanced"] == points | {"skill", "cost_stress"}
    assert blocking["strict"] == set(Gates().rules()) - {"superior"}


def test_the_policies_share_their_thresholds_and_differ_in_the_error_of_a_year() -> None:
    thresholds = [{gate: rule.threshold for gate, rule in policy.rules().items()} for policy in built_in().values()]
    assert thresholds[0] == thresholds[1] == thresholds[2]
    assert {name: policy.yearly_error for name, policy in built_in().items()} == {
        "checklist": 0.05,
        "balanced": 0.05,
        "strict": 0.01,
    }


@pytest.mark.parametrize("name", sorted(POLICIES))
def test_a_strategys_own_rules_lie_on_top_of_its_policy(tmp_path: Path, name: str) -> None:
    path = strategy_file(tmp_path, {"policy": name, "sharpe": {"threshold": 1.0}, "regime_min_trades": 7})
    gates = load_strategy(path).gates
    expected = built_in()[name].model_dump() | {"regime_min_trades": 7}
    expected["sharpe"] |= {"threshold": 1.0}
    assert gates.model_dump() == expected


@pytest.mark.parametrize("gates", [None, {}, {"trades": {"threshold": 100}}])
def test_balanced_is_the_default(tmp_path: Path, gates: object) -> None:
    assert load_strategy(strategy_file(tmp_path, gates)).gates == Gates()


def test_the_projects_own_files_win_and_new_ones_have_their_names(tmp_path: Path) -> None:
    policy_file(tmp_path, "strict", {"sharpe": {"threshold": 2.5}})
    policy_file(tmp_path, "mine", {"skill": {"blocking": False}, "yearly_error": 0.2})
    strict = load_strategy(strategy_file(tmp_path, {"policy": "strict"})).gates
    assert (strict.policy, strict.sharpe.threshold, strict.deflated_sharpe.blocking) == ("strict", 2.5, False)
    mine = load_strategy(strategy_file(tmp_path, {"policy": "mine", "skill": {"threshold": 0.5}})).gates
    assert (mine.policy, mine.skill, mine.yearly_error) == ("mine", GateRule(threshold=0.5, blocking=False), 0.2)
    assert list(named_policies(tmp_path / "configs" / "policies")) == ["checklist", "balanced", "strict", "mine"]


def test_a_strategy_under_a_policy_of_ones_own_is_read_back_from_its_record(tmp_path: Path) -> None:
    policy_file(tmp_path, "mine", {"yearly_error": 0.2})
    found = load_strategy(strategy_file(tmp_path, {"policy": "mine"}))
    assert Strategy.model_validate(found.model_dump(mode="json")) == found
    assert Strategy.model_validate_json(found.model_dump_json()) == found


def test_an_unknown_policy_is_told_with_those_that_are_known(tmp_path: Path) -> None:
    policy_file(tmp_path, "mine", {})
    with pytest.raises(ConfigurationError, match="gate policy 'lenient', which is unknown") as told:
        load_strategy(strategy_file(tmp_path, {"policy": "lenient"}))
    assert told.value.expected == "one of balanced, checklist, mine, strict"
    with pytest.raises(ValidationError, match="policy 'lenient' is unknown, known are checklist, balanced, strict"):
        Gates.model_validate({"policy": "lenient"})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"policy": "strict"}, "names a policy"),
        ({"sharpe": {"treshold": 1}}, "is wrong"),
        ({"skil": {"blocking": False}}, "is wrong"),
        ({"permuted_labels": {"blocking": True}}, "permuted_labels blocks and can never pass"),
    ],
)
def test_a_wrong_policy_file_is_told(tmp_path: Path, content: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        load_policy(policy_file(tmp_path, "mine", content))


@pytest.mark.parametrize("gates", ["strict", ["strict"], {"policy": 3}, {"policy": None}])
def test_gates_of_a_wrong_kind_are_told_as_what_they_are(tmp_path: Path, gates: object) -> None:
    with pytest.raises(ConfigurationError, match="gates"):
        load_strategy(strategy_file(tmp_path, gates))


def test_a_loose_file_is_read_with_the_projects_policies(tmp_path: Path) -> None:
    policy_file(tmp_path, "mine", {"yearly_error": 0.2})
    loose = strategy_file(tmp_path, {"policy": "mine"}).rename(tmp_path / "loose.yaml")
    assert find_strategy(str(loose), tmp_path / "configs" / "strategies").gates.yearly_error == 0.2


@pytest.mark.parametrize(("permutations", "threshold", "fine"), [(19, 0.05, True), (18, 0.05, False), (0, None, False)])
def test_permuted_labels_may_only_block_where_they_can_pass(
    permutations: int, threshold: float | None, fine: bool
) -> None:
    content = {"permutations": permutations, "permuted_labels": {"threshold": threshold, "blocking": True}}
    if fine:
        assert Gates.model_validate(content).permuted_labels.blocking
    else:
        with pytest.raises(ValidationError, match="can never pass"):
            Gates.model_validate(content)


def test_under_another_policy_thresholds_stay_and_what_blocks_is_the_policys() -> None:
    policies = built_in()
    own = Gates.model_validate(
        {
            "policy": "balanced",
            "sharpe": {"threshold": 1.0, "blocking": False},
            "skill": {"blocking": False},
            "champion_min_days": 10,
            "yearly_error": 0.3,
        }
    )
    strict = under(own, policies["strict"], policies)
    assert strict.sharpe == GateRule(threshold=1.0, blocking=True)
    assert (strict.skill.blocking, strict.champion_min_days, strict.yearly_error) == (True, 10, 0.01)
    assert under(own, policies["balanced"], policies).skill.blocking
    assert under(Gates(), policies["checklist"], policies) == policies["checklist"]
