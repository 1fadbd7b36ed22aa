import json

import numpy as np
import pytest
from tests.unit.validation.sound_bars import as_of, edited, sound_bars

from tidegate.bars.bars import Bars
from tidegate.errors import ValidationFailed
from tidegate.settings.settings import SET_ASIDE, WHOLE_SERIES, Validation
from tidegate.validation.finding import ALWAYS_FATAL, Finding
from tidegate.validation.validate import Validated, judge, require

N = 200
NAN, INF = float("nan"), float("inf")
BARS = sound_bars(N)


def judged(bars: Bars, **rules: object) -> Validated:
    return judge(bars, rules=Validation.model_validate(rules), calendar="24/7", as_of_ms=as_of(BARS))


def test_the_message_names_rule_rows_times_values_setting_and_next_step() -> None:
    bad = edited(edited(BARS, "close", 3, NAN), "volume", 9, INF)
    with pytest.raises(ValidationFailed) as caught:
        require(judged(bad, non_finite="fatal"))
    error = caught.value
    assert error.setting == "validation.non_finite"
    message = str(error)
    for part in (
        "validation_failed: bars of BTC/USDT 1h failed rule non_finite",
        "close is a number (1), volume is not infinite (1)",
        "2 of 200 rows (1 %)",
        "row 3 (2024-01-01T03:00:00Z: open=",
        "close=nan",
        "row 9 (2024-01-01T09:00:00Z: ",
        "volume=inf",
        "(validation.non_finite)",
        "correct these rows at the source",
    ):
        assert part in message


def test_the_message_counts_the_rows_it_does_not_show_and_names_other_failures() -> None:
    bad = edited(edited(BARS, "close", slice(10, 30), NAN), "volume", 5, -1.0)
    with pytest.raises(ValidationFailed, match=r"and 15 more") as caught:
        require(judged(bad, non_finite="fatal", negative_volume="fatal"))
    assert "(failed as well: missing_share, negative_volume, quarantined_share)" in str(caught.value)


def test_a_gap_in_the_message_says_what_is_missing() -> None:
    with pytest.raises(
        ValidationFailed, match=r"row 50 .*: missing_bars=40, missing_from=2024-01-03T02:00:00Z"
    ) as caught:
        require(judged(BARS.take(np.delete(np.arange(N), slice(50, 90)))))
    assert caught.value.setting == "validation.missing_share"
    assert "more;" not in str(caught.value)


def test_no_bars_are_refused_without_blaming_a_setting() -> None:
    with pytest.raises(ValidationFailed, match="there are no bars") as caught:
        require(judged(sound_bars(0)))
    assert caught.value.setting is None


def test_what_passed_is_handed_on() -> None:
    assert require(judged(BARS)).equals(BARS)


def test_rows_count_from_the_raw_input_whatever_its_order() -> None:
    newest_first = edited(BARS, "close", 3, NAN).take(slice(None, None, -1))
    validated = judged(newest_first)
    assert validated.quarantined.rows.tolist() == [N - 1 - 3]
    assert validated.quarantined.bars.opened_at.tolist() == [BARS.opened_at[3]]
    assert validated.quarantined.reasons == ("non_finite",)


def test_a_row_keeps_all_its_reasons() -> None:
    bad = edited(edited(BARS, "close", 3, -INF), "volume", 3, -1.0)
    reasons = judged(bad).quarantined.reasons
    assert reasons == ("non_finite+non_positive_price+negative_volume+high_low",)


def test_the_summary_is_json_and_says_what_was_found() -> None:
    bad = edited(BARS, "close", [3, 4], [NAN, INF]).take(np.delete(np.arange(N), 50))
    summary = judged(bad).summary()
    again = json.loads(json.dumps(summary, allow_nan=False))
    assert again == summary
    assert (again["rows_in"], again["rows_clean"], again["rows_quarantined"]) == (N - 1, N - 3, 2)
    assert (again["expected_bars"], again["missing_bars"], again["gaps"]) == (N, 3, 2)
    assert again["passed"] is False
    shown = {finding["rule"]: finding["rows"] for finding in again["findings"]}
    assert [row["values"]["close"] for row in shown["non_finite"]] == ["nan", "inf"]


def test_the_summary_of_no_bars() -> None:
    summary = judged(sound_bars(0)).summary()
    assert (summary["passed"], summary["first_opened_at"], summary["rows_in"]) == (False, None, 0)


def test_an_impossible_time_is_shown_as_its_number() -> None:
    bad = edited(BARS, "opened_at", 3, np.iinfo(np.int64).min)
    (finding,) = (finding for finding in judged(bad).findings if finding.rule == "non_finite")
    assert str(finding.rows[0]).startswith("row 3 (-9223372036854775808 ms: ")


def test_only_the_first_twenty_rows_are_kept() -> None:
    (finding,) = (f for f in judged(edited(BARS, "close", slice(0, 50), NAN)).findings if f.rule == "non_finite")
    assert (finding.count, len(finding.rows), finding.share) == (50, 20, 0.25)


def test_the_lists_of_rules_name_settings() -> None:
    settings = set(Validation.model_fields)
    assert {*SET_ASIDE, *WHOLE_SERIES} <= settings
    assert not settings & set(ALWAYS_FATAL)
    assert [Finding(rule, "fatal", 1, 1.0, "").setting for rule in ALWAYS_FATAL] == [None, None]
