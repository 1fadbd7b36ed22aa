import json
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import yaml
from tests.trial_records import EQUAL, HOUR, OWN, noise, strategy, trial, trials, windows

from tidegate.pipeline.proposal import Alternative, Proposal, patched, propose
from tidegate.pipeline.proposal_text import because, headline, to_markdown, to_yaml
from tidegate.pipeline.tried import Series, Tried, _joined, compare


def test_noise_is_no_reason_to_change() -> None:
    found = propose(strategy(), trials(EQUAL), "2025-01")
    assert found.chosen is None
    assert len(found.alternatives) == 3
    assert found.level == pytest.approx(0.05 / 3)
    assert all(each.against for each in found.alternatives)
    ratios = [each.sharpe for each in found.alternatives]
    assert ratios == sorted(ratios, reverse=True)


def test_a_margin_that_the_rule_never_takes_and_that_earns_more_is_proposed() -> None:
    # Tried once by hand, and no candidate of the present rule.
    found = propose(strategy(), trials(EQUAL | {0.16: 0.0004}), "2025-01")
    assert found.chosen is not None
    assert found.chosen.patch == {"policy": {"margins": [0.16]}}
    assert found.chosen.p_value < found.level
    assert found.chosen.overfitting < 0.1
    assert found.chosen.low > 0
    assert 0.5 < found.chosen.deflated < 1.0
    assert patched(strategy(), found.chosen.patch).policy.margins == (0.16,)


def test_a_rule_that_takes_the_best_margin_already_is_kept() -> None:
    found = propose(strategy(), trials({0.02: 0.0, 0.06: 0.0, 0.10: 0.0004}), "2025-01")
    assert found.chosen is None
    best = found.alternatives[0]
    assert best.patch == {"policy": {"margins": [0.10]}}
    # The rule had chosen it everywhere: there is no difference to judge.
    assert math.isnan(best.difference)
    assert best.against[0] == "its difference cannot be computed"


def test_more_alternatives_ask_for_more_evidence() -> None:
    alone = propose(strategy(), trials(EQUAL | {0.16: 0.00011}), "2025-01")
    many = propose(
        strategy(), trials(EQUAL | {0.16: 0.00011} | {0.2 + at / 100: -0.001 for at in range(25)}), "2025-01"
    )
    assert many.level == pytest.approx(0.05 / 29)
    assert alone.level > many.level


def test_the_present_margin_was_chosen_one_fold_before_the_bars_that_judge_it() -> None:
    made = trials(EQUAL, folds=3)
    compared = next(each for each in compare(strategy(), made) if each.kind == "margin")
    scores = {each.parameters["margin"]: each.score for each in made[:3]}
    picked = max(scores, key=lambda margin: scores[margin])
    first = compared.present.closed_at[0]
    assert first == windows(0).train.end_at + HOUR
    assert len(compared.present.closed_at) == 60 * 24
    source = next(each for each in made[3:6] if each.parameters["margin"] == picked)
    assert (compared.present.net_return[: 30 * 24] == source.net_return[30 * 24 :]).all()


def test_every_bar_counts_once_in_the_first_fold_that_has_it() -> None:
    joined = _joined(each for each in trials(EQUAL, folds=4) if each.parameters["margin"] == 0.02)
    assert (np.diff(joined.closed_at) == HOUR).all()
    assert len(joined.closed_at) == (60 + 3 * 30) * 24
    assert joined.folds == 4
    assert len(_joined([]).closed_at) == 0


def test_a_rerun_of_the_month_counts_no_bar_twice() -> None:
    made = trials(EQUAL)
    again = [replace(each, retrain_key="btc-1h/2025-02") for each in made]
    once, twice = (propose(strategy(), tried, "2025-01") for tried in (made, made + again))
    assert [each.days for each in once.alternatives] == [each.days for each in twice.alternatives]
    assert (once.retrains, twice.retrains) == (1, 2)


def test_what_was_tried_on_few_bars_is_counted_and_not_compared() -> None:
    rare = [trial(11, OWN | {"margin": 0.3}, noise(np.random.default_rng(5), 0.01))]
    found = propose(strategy(), trials(EQUAL) + rare, "2025-01")
    assert found.too_few == 1
    assert found.chosen is None
    assert "margin of 0.3" not in to_markdown(found)


def searched(folds: int, drift: float, depth: int) -> list[Tried]:
    rng = np.random.default_rng(8)
    return [trial(fold, OWN | {"max_depth": depth}, noise(rng, drift)) for fold in range(folds)]


def test_parameters_that_a_search_passed_over_are_proposed_where_they_earned_more() -> None:
    searching = strategy(model={"search": {"trials": 5, "space": {"max_depth": [2, 6]}}})
    found = propose(searching, trials(EQUAL) + searched(12, 0.0005, 6), "2025-01")
    assert found.chosen is not None
    assert found.chosen.kind == "parameters"
    assert found.chosen.title == "max_depth 6"
    assert found.chosen.patch == {"model": {"max_depth": 6, "search": {"trials": 0}}}
    assert patched(searching, found.chosen.patch).model.max_depth == 6
    assert patched(searching, found.chosen.patch).model.search.trials == 0


def test_an_earlier_configuration_is_an_alternative_and_the_present_one_is_not() -> None:
    before = trials(EQUAL, seed=3, max_depth=6)
    found = propose(strategy(), before + trials(EQUAL), "2025-01")
    parameters = [each for each in found.alternatives if each.kind == "parameters"]
    assert [each.patch for each in parameters] == [{"model": {"max_depth": 6}}]
    assert found.chosen is None


def test_a_training_window_of_another_length_is_an_alternative() -> None:
    rng = np.random.default_rng(9)
    longer = [trial(fold, OWN | {"margin": 0.02}, noise(rng, 0.0005), train_days=120) for fold in range(12)]
    found = propose(strategy(), trials(EQUAL) + longer, "2025-01")
    assert found.chosen is not None
    assert found.chosen.patch == {"windows": {"train_days": 120}}


def test_a_configuration_that_was_never_tried_has_nothing_to_compare() -> None:
    found = propose(strategy(model={"max_depth": 7}), trials(EQUAL), "2025-01")
    assert found.chosen is None
    assert found.alternatives == ()
    assert "Nothing else was tried" in because(found)


def test_no_trials_at_all() -> None:
    found = propose(strategy(), [], "2025-01")
    assert found == Proposal("btc-1h", "2025-01", 0, 0, (), 0.05, 0, None)
    assert because(found) == "No trial has been recorded."
    assert yaml.safe_load(to_yaml(found)) == {}
    assert to_markdown(found).startswith("# Keep the present configuration of btc-1h\n")


def test_returns_that_are_not_finite_pass_nothing() -> None:
    made = trials(EQUAL | {0.16: 0.0004})
    broken = [
        replace(each, net_return=np.where(np.arange(len(each.net_return)) == 1_400, np.nan, each.net_return))
        for each in made
    ]
    assert propose(strategy(), broken, "2025-01").chosen is None


def test_overfitted_choices_pass_nothing_however_good() -> None:
    found = propose(strategy(), trials({0.02: 0.0004, 0.06: 0.0004, 0.10: 0.0004, 0.16: 0.0004}, seed=2), "2025-01")
    for each in found.alternatives:
        assert each.passes == (each.difference > 0 and each.p_value < found.level and each.overfitting <= 0.5)
    assert found.chosen is None


def test_a_change_that_no_strategy_file_may_hold_is_not_proposed() -> None:
    found = propose(strategy(), trials(EQUAL | {0.6: 0.0004}), "2025-01")
    assert found.chosen is None
    assert found.alternatives[0].against == ("no strategy file may hold it",)


def test_the_same_trials_give_the_same_proposal() -> None:
    assert propose(strategy(), trials(EQUAL), "2025-01") == propose(strategy(), trials(EQUAL), "2025-01")


def test_series_cover_each_other_by_bars() -> None:
    one = Series(np.array([1, 2, 3, 4]), np.array([0.1, 0.2, 0.3, 0.4]), 1)
    other = Series(np.array([3, 4, 5]), np.array([1.0, 2.0, 3.0]), 1)
    assert one.covers(other) == pytest.approx(2 / 3)
    assert one.covers(Series(np.empty(0, np.int64), np.empty(0), 0)) == 0.0
    ours, theirs = one.beside(other)
    assert ours.tolist() == [0.3, 0.4]
    assert theirs.tolist() == [1.0, 2.0]


def alternative(**changes: object) -> Alternative:
    fields: dict[str, object] = {
        "kind": "margin", "title": "always enter at a margin of 0.1", "patch": {"policy": {"margins": [0.1]}}, "sharpe": 1.4,
        "present_sharpe": 0.2, "difference": 1.2, "low": 0.4, "high": 2.0, "p_value": 0.0004, "deflated": 0.9,
        "overfitting": 0.1, "days": 360.0, "folds": 12, "against": (),
    }  # fmt: skip
    return Alternative(**(fields | changes))  # type: ignore[arg-type]


def made(alternatives: Sequence[Alternative]) -> Proposal:
    chosen = next((each for each in alternatives if each.passes), None)
    return Proposal("btc-1h", "2025-01", 84, 1, tuple(alternatives), 0.05 / len(alternatives), 2, chosen)


def test_the_proposal_is_told_with_its_evidence_and_its_change() -> None:
    proposal = made([alternative(), alternative(title="max_depth 6", against=("is no better",))])
    assert headline(proposal) == "A change of btc-1h is proposed: always enter at a margin of 0.1"
    text = to_markdown(proposal)
    assert "| \u2713 passes | always enter at a margin of 0.1 |" in text
    assert "| \u2715 | max\\_depth 6 |" in text
    assert "84 trials of 1 retrain, 2 alternatives compared, 2 tried on too few bars" in text
    assert yaml.safe_load(to_yaml(proposal)) == {"policy": {"margins": [0.1]}}
    assert all(line.startswith("#") for line in to_yaml(proposal).splitlines()[:3])


def test_unknown_figures_are_said_to_be_and_long_tables_are_cut() -> None:
    nan = float("nan")
    unknown = alternative(
        sharpe=nan, difference=nan, low=nan, high=nan, p_value=nan, deflated=nan, against=("a <b> | c",)
    )
    text = to_markdown(made([unknown] * 50))
    assert "10 further alternatives are in the JSON answer only." in text
    assert "not measured" in text
    row = next(line for line in text.splitlines() if line.startswith("| \u2715"))
    assert row.replace("\\|", "").count("|") == 12
    assert "a &lt;b&gt; \\| c" in row
    json.dumps(text)
