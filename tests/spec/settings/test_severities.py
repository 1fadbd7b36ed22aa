"""Which severities the settings take: one that validation would read as another is refused, and production takes none that is looser."""

from typing import get_args

import pytest
from pydantic import ValidationError

from tidegate.settings.settings import SET_ASIDE, WHOLE_SERIES, Settings, Severity, Validation
from tidegate.validation.finding import effective_severity

SEVERITIES = get_args(Severity)
RULES = [name for name in Validation.model_fields if getattr(Validation(), name) in SEVERITIES]


def taken(rule: str, severity: str, environment: str = "development") -> bool:
    try:
        Settings.model_validate({"environment": environment, "validation": {rule: severity}})
    except ValidationError as error:
        if f"validation.{rule}" in str(error):
            return False
        raise
    return True


@pytest.mark.parametrize("rule", RULES)
def test_every_severity_that_is_taken_is_the_one_in_effect(rule: str) -> None:
    found = [severity for severity in SEVERITIES if taken(rule, severity)]
    for severity in found:
        assert effective_severity(rule, Validation.model_validate({rule: severity})) == severity
    expected = {
        **{each: ["fatal", "quarantine"] for each in SET_ASIDE},
        **{each: ["fatal", "warn", "off"] for each in WHOLE_SERIES},
        "order": ["fatal", "warn"],
        "duplicate_identical": ["fatal", "quarantine", "warn"],
    }
    assert found == expected.get(rule, list(SEVERITIES))


@pytest.mark.parametrize(
    ("rule", "severity", "told"),
    [
        ("non_finite", "off", "validation.non_finite cannot be `off`: its rows are set aside in any case"),
        ("duplicate_conflicting", "warn", "say `quarantine` or `fatal`"),
        ("gaps", "quarantine", "validation.gaps cannot be `quarantine`: it judges the whole series"),
        ("missing_share", "quarantine", "say `fatal` or `warn`"),
    ],
)
def test_a_refusal_says_why_and_what_to_say_instead(rule: str, severity: str, told: str) -> None:
    with pytest.raises(ValidationError) as raised:
        Settings.model_validate({"validation": {rule: severity}})
    assert told in str(raised.value)


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(ValidationError) as raised:
        Settings.model_validate({"validation": {"future": "warn", "stale": "quarantine"}})
    assert "validation.future" in str(raised.value)
    assert "validation.stale" in str(raised.value)


@pytest.mark.parametrize(
    ("rule", "severity", "in_production"),
    [
        ("high_low", "quarantine", True),
        ("high_low", "warn", False),
        ("negative_volume", "off", False),
        ("unit_mixup", "quarantine", True),
        ("unit_mixup", "warn", False),
        ("missing_share", "off", False),
        ("quarantined_share", "warn", False),
        ("stale", "fatal", True),
        ("stale", "off", True),
        ("zero_volume", "off", True),
    ],
)
def test_production_does_not_loosen_what_stops_or_sets_aside_by_default(
    rule: str, severity: str, in_production: bool
) -> None:
    assert taken(rule, severity)
    assert taken(rule, severity, "production") is in_production


@pytest.mark.parametrize(
    ("limit", "number", "in_production"),
    [
        ("max_missing_share", 0.05, True),
        ("max_missing_share", 0.0, True),
        ("max_missing_share", 0.0501, False),
        ("max_missing_share", 1.0, False),
        ("max_quarantined_share", 0.01, True),
        ("max_quarantined_share", 0.011, False),
        ("missing_share_min_days", 7, True),
        ("missing_share_min_days", 8, False),
        ("missing_share_min_days", 100_000, False),
        ("stale_after_bars", 3, True),
        ("stale_after_bars", 1, True),
        ("stale_after_bars", 4, False),
    ],
)
def test_production_takes_no_looser_limit(limit: str, number: float, in_production: bool) -> None:
    def settings(environment: str) -> Settings:
        return Settings.model_validate({"environment": environment, "validation": {limit: number}})

    assert getattr(settings("development").validation, limit) == number
    if in_production:
        assert getattr(settings("production").validation, limit) == number
        return
    with pytest.raises(ValidationError, match=rf"validation\.{limit} cannot be .* in production, where it is at most"):
        settings("production")
