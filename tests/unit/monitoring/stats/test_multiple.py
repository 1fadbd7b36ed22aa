import numpy as np
import pytest
from scipy.stats import false_discovery_control

from tidegate.errors import FiguresRefused
from tidegate.monitoring.multiple import q_values

NAN = float("nan")


@pytest.mark.parametrize(
    ("p", "q"),
    [
        ([], []),
        ([0.03], [0.03]),
        ([0.01, 0.02, 0.03, 0.04], [0.04, 0.04, 0.04, 0.04]),
        ([0.04, 0.01], [0.04, 0.02]),
        ([0.001, 0.5, 0.9], [0.003, 0.75, 0.9]),
        ([1.0, 1.0], [1.0, 1.0]),
        ([NAN, 0.01, NAN, 0.04], [NAN, 0.02, NAN, 0.04]),
        ([NAN], [NAN]),
    ],
    ids=str,
)
def test_hand_computed(p: list[float], q: list[float]) -> None:
    np.testing.assert_allclose(q_values(np.array(p)), q)


@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_scipy(seed: int) -> None:
    p = np.random.default_rng(seed).random(40) ** 3
    p[3] = p[4]
    np.testing.assert_allclose(q_values(p), false_discovery_control(p), rtol=1e-12)


@pytest.mark.parametrize("p", [-0.1, 1.1, float("inf")])
def test_what_is_no_probability_is_refused(p: float) -> None:
    with pytest.raises(FiguresRefused):
        q_values(np.array([0.5, p]))
