"""What goes wrong in a flow comes out as itself; what goes wrong with Prefect comes out as a message with the next step."""

import httpx
import pytest
from prefect.exceptions import FailedRun, PrefectException

from tidegate.cli.retrain_commands import prefect_errors
from tidegate.errors import NotEnoughHistory, PromotionConflict, ServiceError


def test_what_a_flow_raises_on_purpose_comes_out_as_itself() -> None:
    raised = NotEnoughHistory("too few bars", expected=60, actual=1)
    with pytest.raises(NotEnoughHistory) as caught, prefect_errors():
        raise raised
    assert caught.value is raised


def wrap(raised: Exception, *, as_cause: bool) -> None:
    """Raise Prefect's error because of ours, or while handling ours."""
    try:
        raise raised
    except PromotionConflict as error:
        if as_cause:
            raise FailedRun("flow run failed") from error
        raise PrefectException("while handling it")  # noqa: B904  that is the case


@pytest.mark.parametrize("as_cause", [True, False])
def test_also_when_prefect_has_wrapped_it(as_cause: bool) -> None:
    raised = PromotionConflict("overtaken")
    with pytest.raises(PromotionConflict) as caught, prefect_errors():
        wrap(raised, as_cause=as_cause)
    assert caught.value is raised


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("Timed out while attempting to connect to ephemeral Prefect API server."),
        PrefectException("no API"),
        httpx.ConnectError("All connection attempts failed"),
        httpx.ReadTimeout(""),
    ],
)
def test_prefects_own_failures_are_a_service_error_with_the_next_step(error: Exception) -> None:
    with pytest.raises(ServiceError, match="Prefect could not run the flow") as caught, prefect_errors():
        raise error
    assert caught.value.exit_code == 7
    assert "--direct" in str(caught.value.next_step)
    assert caught.value.__cause__ is error
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("error", [KeyError("x"), ValueError("y"), RuntimeError("of ours"), ZeroDivisionError()])
def test_a_defect_of_ours_is_not_blamed_on_prefect(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, prefect_errors():
        raise error
    assert caught.value is error


def test_an_interrupt_passes() -> None:
    with pytest.raises(KeyboardInterrupt), prefect_errors():
        raise KeyboardInterrupt
