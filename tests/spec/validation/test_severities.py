"""What a severity does: fatal stops, quarantine sets aside, warn reports, off does not look."""

import numpy as np
import pytest
from tests.unit.validation.sound_bars import HOUR_MS, START_MS, edited, sound_bars

from tidegate.bars.bars import Bars
from tidegate.settings.settings import Validation
from tidegate.validation.validate import Validated, judge

N = 200
NAN = float("nan")


BARS = sound_bars(N)

# Two hundred bars of which one or a few break the rule.
BROKEN: dict[str, Bars] = {
    "non_finite": edited(BARS, "close", 5, NAN),
    "non_positive_price": edited(BARS, "low", 5, 0.0),
    "negative_volume": edited(BARS, "volume", 5, -1.0),
    "high_low": edited(BARS, "high", 5, 1.0),
    "off_grid": edited(BARS, "opened_at", 5, START_MS + 5 * HOUR_MS + 1),
    "future": edited(BARS, "opened_at", N - 1, START_MS + (N + 5) * HOUR_MS),
    "duplicate_conflicting": Bars.concatenate([BARS, edited(BARS.take(slice(5, 6)), "volume", 0, 3.0)]),
    "zero_volume": edited(BARS, "volume", slice(5, 20), 0.0),
    "gaps": BARS.take(np.delete(np.arange(N), 5)),
    "order": BARS.take(slice(None, None, -1)),
    "stale": BARS.take(slice(0, N - 10)),
}


def judged(rule: str, severity: str) -> Validated:
    rules = Validation.model_validate({rule: severity, "max_quarantined_share": 1.0, "max_missing_share": 1.0})
    return judge(BROKEN[rule], rules=rules, calendar="24/7", as_of_ms=START_MS + N * HOUR_MS)


# rule, severity: severity in effect (None: no finding), rows set aside
TABLE = [
    ("high_low", "fatal", "fatal", 1),
    ("high_low", "quarantine", "quarantine", 1),
    ("high_low", "warn", "warn", 0),
    ("high_low", "off", None, 0),
    ("negative_volume", "warn", "warn", 0),
    ("negative_volume", "off", None, 0),
    ("off_grid", "quarantine", "quarantine", 1),
    ("off_grid", "warn", "warn", 0),
    ("off_grid", "off", None, 0),
    # No computation is right with these rows, so they go at any severity, and never silently.
    ("non_finite", "fatal", "fatal", 1),
    ("non_finite", "warn", "warn", 1),
    ("non_finite", "off", "warn", 1),
    ("non_positive_price", "off", "warn", 1),
    ("future", "fatal", "fatal", 1),
    ("future", "off", "warn", 1),
    ("duplicate_conflicting", "fatal", "fatal", 2),
    ("duplicate_conflicting", "quarantine", "quarantine", 2),
    ("duplicate_conflicting", "warn", "warn", 2),
    # Real bars that look odd stay, unless somebody asks for more.
    ("zero_volume", "fatal", "fatal", 0),
    ("zero_volume", "quarantine", "quarantine", 15),
    ("zero_volume", "warn", "warn", 0),
    ("zero_volume", "off", None, 0),
    # A rule about the whole series has no rows to set aside: quarantine is as good as fatal.
    ("gaps", "fatal", "fatal", 0),
    ("gaps", "quarantine", "fatal", 0),
    ("gaps", "warn", "warn", 0),
    ("gaps", "off", None, 0),
    ("order", "quarantine", "fatal", 0),
    ("order", "warn", "warn", 0),
    ("stale", "fatal", "fatal", 0),
    ("stale", "off", None, 0),
]


@pytest.mark.parametrize(("rule", "severity", "effect", "set_aside"), TABLE)
def test_severity(rule: str, severity: str, effect: str | None, set_aside: int) -> None:
    validated = judged(rule, severity)
    effects = [finding.severity for finding in validated.findings if finding.rule == rule]
    assert effects == ([] if effect is None else [effect])
    assert len(validated.quarantined) == set_aside
    assert set(validated.quarantined.reasons) <= {rule}
    assert validated.passed is (effect != "fatal")


@pytest.mark.parametrize("severity", ["fatal", "quarantine", "warn"])
def test_of_identical_bars_one_is_kept_at_any_severity(severity: str) -> None:
    twice = Bars.concatenate([BARS, BARS.take(slice(5, 7))])
    rules = Validation.model_validate(
        {"duplicate_identical": severity, "max_quarantined_share": 1.0, "max_missing_share": 1.0}
    )
    validated = judge(twice, rules=rules, calendar="24/7", as_of_ms=START_MS + N * HOUR_MS)
    assert validated.bars.equals(BARS)
    assert len(validated.quarantined) == (0 if severity == "warn" else 2)
    assert validated.passed is (severity != "fatal")


def test_findings_come_worst_first() -> None:
    bars = edited(edited(BROKEN["zero_volume"], "close", 100, NAN), "opened_at", N - 1, START_MS + (N + 5) * HOUR_MS)
    validated = judge(bars, rules=Validation(), calendar="24/7", as_of_ms=START_MS + N * HOUR_MS)
    severities = [finding.severity for finding in validated.findings]
    assert severities == sorted(severities, key=["fatal", "quarantine", "warn"].index)
    assert {"fatal", "quarantine", "warn"} == set(severities)
