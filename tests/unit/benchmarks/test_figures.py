import math

import pytest
from benchmarks.serving.figures import NoSamples, Round, Target, growth, median_of, percentile, ratio
from benchmarks.serving.report import NEW_BAR, PLAIN, SIGNATURE, Figures
from benchmarks.serving.soak import Soak


@pytest.mark.parametrize(
    ("samples", "share", "expected"),
    [
        ([7.0], 0.5, 7.0),
        ([7.0], 0.99, 7.0),
        ([3.0, 1.0, 2.0], 0.5, 2.0),
        ([4.0, 1.0, 3.0, 2.0], 0.5, 2.0),
        ([4.0, 1.0, 3.0, 2.0], 0.51, 3.0),
        ([float(number) for number in range(1, 101)], 0.99, 99.0),
        ([float(number) for number in range(1, 101)], 0.991, 100.0),
        ([float(number) for number in range(1, 101)], 1.0, 100.0),
        ([1.0] * 98 + [50.0, 60.0], 0.99, 50.0),
    ],
)
def test_percentile_is_the_nearest_rank(samples: list[float], share: float, expected: float) -> None:
    assert percentile(samples, share) == expected


@pytest.mark.parametrize("samples", [[], [1.0, math.nan], [math.inf]])
def test_percentile_of_nothing_is_refused(samples: list[float]) -> None:
    with pytest.raises(NoSamples):
        percentile(samples, 0.5)


@pytest.mark.parametrize("share", [0.0, -0.1, 1.1, math.nan])
def test_percentile_refuses_a_share_outside_its_bounds(share: float) -> None:
    with pytest.raises(ValueError, match="share"):
        percentile([1.0], share)


def rounds(*p50_ms: float) -> list[Round]:
    return [Round(p50, p50 * 3, 10, 0) for p50 in p50_ms]


def test_a_round_tells_both_percentiles_and_its_failures() -> None:
    assert Round.of([float(number) for number in range(1, 201)], 3) == Round(100.0, 198.0, 200, 3)


def test_the_median_over_rounds_is_not_moved_by_one_disturbed_round() -> None:
    assert median_of(rounds(1.0, 1.1, 90.0), "p50_ms") == 1.1
    assert median_of(rounds(1.0, 2.0, 90.0), "p99_ms") == 6.0


def test_the_ratio_compares_rounds_in_pairs() -> None:
    # Of the medians alone it would be 10 / 2 = 5: a slow round must fall on both sides.
    assert ratio(rounds(10.0, 10.0, 40.0), rounds(1.0, 2.0, 4.0)) == 10.0


def test_the_ratio_of_nothing_or_of_unequal_rounds_is_refused() -> None:
    with pytest.raises(NoSamples):
        ratio([], [])
    with pytest.raises(ValueError, match="shorter"):
        ratio(rounds(1.0, 2.0), rounds(1.0))


@pytest.mark.parametrize(
    ("side", "observed", "met"),
    [
        ("<=", 2.0, True),
        ("<=", 2.1, False),
        (">=", 2.0, True),
        (">=", 1.9, False),
        (">", 2.0, False),
        (">", 2.1, True),
        ("<=", None, False),
        ("<=", math.nan, False),
        ("<=", -math.inf, False),
        (">=", math.inf, False),
    ],
)
def test_a_target_is_met_or_not(side: str, observed: float | None, met: bool) -> None:
    verdict = Target("t", 2.0, side, "ms").judge(observed)  # type: ignore[arg-type]
    assert verdict.met is met
    assert verdict.line().startswith("met " if met else "MISSED")
    assert ("not measured" in verdict.line()) is (observed is None)


def test_growth_leaves_the_warm_up_out() -> None:
    assert growth([10.0, 50.0, 100.0, 100.0, 100.0, 103.0]) == 1.5
    assert growth([1.0, 1.0, 100.0, 100.0, 100.0, 100.0]) == 0.0
    with pytest.raises(NoSamples):
        growth([1.0] * 5)


def test_what_was_not_measured_misses_its_target() -> None:
    verdicts = Figures().verdicts()
    assert len(verdicts) == 14
    assert not any(verdict.met for verdict in verdicts)


def test_the_verdicts_are_about_the_right_figures() -> None:
    flat = Soak(40.0, 40.0, 0, None, 0.3, 1.0, (90.0,) * 6, 0.0)
    figures = Figures(
        one_client={
            NEW_BAR: [Round(0.5, 1.9, 10, 0)],
            SIGNATURE: [Round(9.0, 20.0, 10, 0)],
            PLAIN: [Round(2.0, 3.0, 10, 0)],
        },
        many_clients={NEW_BAR: [1900.0, 1700.0, 1800.0]},
        rss_mb={"tidegate": 151.0},
        start_s={"cached": [0.8, 1.0, 9.0]},
        soaks={"twice expected_rps": flat},
    )
    found = {verdict.target.name: (verdict.observed, verdict.met) for verdict in figures.verdicts()}
    expected = {
        "one new bar, p50": (0.5, True),
        "one new bar, p99": (1.9, True),
        "8 clients, one core": (1800.0, True),
        "p50 against mlflow models serve with a signature": (18.0, False),
        "p50 against mlflow models serve without one": (4.0, True),
        "p50 against MLServer": (None, False),
        "start to ready with a cached bundle": (1.0, True),
        "memory": (151.0, False),
        "soak at twice expected_rps, failures": (0, True),
        "soak at half of capacity, failures": (None, False),
    }
    assert {name: found[name] for name in expected} == expected
