"""The stack of docker/compose.yaml, run: a scheduled retraining promotes, both processes serve it, and nothing that happens to it costs a prediction."""

import itertools
import json
import os
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.container.container import STATE
from tests.container.engine import Engine, base_image, build_others
from tests.container.stack import DOCKER, SERVING, SYMBOLS, Answers, Stack, asking, plugins, until

from tidegate.serving.log.reader import read

pytestmark = [
    pytest.mark.servers,
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    # A long form: images of 2 GB are built first, which takes longer than all other tests together.
    pytest.mark.skipif("TIDEGATE_TEST_STACK" not in os.environ, reason="the whole stack runs in `make test-stack`"),
]

STARTED = ("postgres", "mlflow", "prefect", "worker", "watch", *SERVING, "proxy", "prometheus", "alertmanager")


@pytest.fixture(scope="module")
def stack(engine: Engine, image: str) -> Iterator[Stack]:
    if os.geteuid() != 0:
        pytest.skip("key files that belong to the containers' user, and killing a container's process, need root")
    plugins()
    images = build_others(engine, base_image(engine)) | {"SERVING_IMAGE": image}
    with tempfile.TemporaryDirectory(prefix="tidegate-stack-") as folder:
        made = Stack(engine, Path(folder), images)
        made.write()
        made.run(*made_secrets(made))
        try:
            yield made
        finally:
            made.compose("down", "--volumes", "--timeout", "5", timeout_s=240)


def made_secrets(stack: Stack) -> tuple[str, ...]:
    """The command that makes the secrets, as users run it."""
    return (sys.executable, str(DOCKER / "make_secrets.py"), str(stack.folder / "docker" / "secrets"))


def test_nothing_that_happens_costs_a_prediction(stack: Stack) -> None:
    told: dict[str, Any] = {}  # shown by `pytest -rP`
    begun = time.monotonic()
    stack.compose("up", "--detach", "--no-build", timeout_s=300)
    until(lambda: healthy(stack) == set(STARTED), "health of all", 240, lambda: stack.compose("ps", "--all"))
    told["healthy_s"] = round(time.monotonic() - begun)
    trained_by_schedule(stack)
    told["promoted_s"] = round(time.monotonic() - begun)
    until(
        lambda: all(stack.inside(one, "/readyz") == 200 for one in SERVING),
        "readiness",
        60,
        lambda: stack.compose("logs", "worker", SERVING[0]),
    )
    until(lambda: proxied(stack) == set(SERVING), "readiness through the proxy", 30)
    key = stack.secret("api-key-bot")
    lookback = served_lookback(stack, key)

    with asking(stack, key, lookback) as answers:
        answers.more(20, "at first")
        survives_a_killed_process(stack, answers)
        survives_replacement_of_both(stack, answers)
        survives_a_new_proxy(stack, answers)
        survives_a_restarted_database(stack, answers)
    assert answers.failed == []
    assert {version for _, version in answers.acknowledged.values()} == {1}
    told["answers"] = len(answers.acknowledged)

    every_answer_is_logged(stack, answers)
    until(lambda: seen_by_prometheus(stack) == {"serving-a": 1.0, "serving-b": 1.0}, "figures in Prometheus", 60)
    works_after_all(stack)
    told["seconds"] = round(time.monotonic() - begun)
    print(told)  # noqa: T201


def healthy(stack: Stack) -> set[str]:
    """Services that their own health checks find healthy."""
    lines = stack.compose("ps", "--format", "{{.Service}} {{.Health}}").splitlines()
    return {line.split()[0] for line in lines if line.endswith(" healthy")}


def runs(stack: Stack) -> list[dict[str, Any]]:
    """The retraining's runs that have ended."""
    asked = {
        "flow_runs": {"state": {"type": {"any_": ["COMPLETED", "FAILED", "CRASHED"]}}},
        "flows": {"name": {"any_": ["retrain"]}},
    }
    found = stack.ask("PREFECT", "/api/flow_runs/filter", stack.secret("prefect-login"), asked)
    assert isinstance(found, list)
    return found


def trained_by_schedule(stack: Stack) -> None:
    """Wait for the run that the scheduler made, and pause the schedule: each further minute would run again."""
    until(lambda: bool(runs(stack)), "a scheduled retraining", 240, lambda: stack.compose("logs", "worker"))
    (run, *_) = runs(stack)
    assert run["auto_scheduled"] is True
    assert run["state_type"] == "COMPLETED", stack.compose("logs", "worker")[-6000:]
    path = f"/api/deployments/{run['deployment_id']}/pause_deployment"
    stack.ask("PREFECT", path, stack.secret("prefect-login"), {}, method="POST")


def proxied(stack: Stack) -> set[str]:
    """Processes that the proxy finds ready, by its own figures."""
    text = stack.compose(
        "exec",
        "-T",
        "serving-a",
        "python",
        "-c",
        "import urllib.request as r; print(r.urlopen('http://proxy:8405/metrics', timeout=5).read().decode())",
    )
    wanted = 'haproxy_server_status{proxy="serving",server="%s",state="UP"} 1'
    return {name for name in SERVING if wanted % name in text}


def served_lookback(stack: Stack, key: str) -> int:
    """Bars that the model wants; the service says so to whoever may ask it."""
    address = f"http://127.0.0.1:{stack.ports['PROXY']}/v1/model"
    request = urllib.request.Request(address, headers={"Authorization": f"Bearer {key}"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        (described,) = json.load(answer)
    assert described["production"]["version"] == 1
    return int(described["production"]["lookback"])


def survives_a_killed_process(stack: Stack, answers: Answers) -> None:
    for service in SERVING:
        before = stack.container(service)
        stack.crash(service)
        answers.more(20, f"with {service} killed")

        def is_back(service: str = service, before: dict[str, Any] = before) -> bool:
            now = stack.container(service)
            return bool(now["RestartCount"] > before["RestartCount"] and stack.inside(service, "/readyz") == 200)

        until(is_back, f"{service} after its crash", 60)
        until(lambda: proxied(stack) == set(SERVING), "both in the proxy", 30)


def survives_replacement_of_both(stack: Stack, answers: Answers) -> None:
    before = {name: stack.container(name)["Id"] for name in SERVING}
    stack.run(str(stack.folder / "docker" / "roll.sh"), timeout_s=180)
    answers.more(10, "after the replacement")
    assert all(stack.container(name)["Id"] != before[name] for name in SERVING)


def survives_a_new_proxy(stack: Stack, answers: Answers) -> None:
    """A new process takes the listening sockets over; the old one ends when it has answered."""
    before = workers(stack)
    stack.compose("kill", "--signal", "USR2", "proxy")
    until(lambda: bool(workers(stack)) and not workers(stack) & before, "the old proxy's end", 60)
    answers.more(20, "through the new proxy")


def workers(stack: Stack) -> set[str]:
    """Processes of the proxy's container but the first, which stays and starts the others anew."""
    first = str(stack.container("proxy")["State"]["Pid"])
    found = stack.engine.run("top", stack.compose("ps", "--quiet", "proxy"), "-o", "pid,comm").splitlines()[1:]
    return {line.split()[0] for line in found if line.split()[1] == "haproxy"} - {first}


def survives_a_restarted_database(stack: Stack, answers: Answers) -> None:
    started = stack.container("postgres")["State"]["StartedAt"]
    stack.compose("restart", "postgres")
    answers.more(20, "while the database starts")
    until(lambda: "postgres" in healthy(stack), "the database", 60)
    assert stack.container("postgres")["State"]["StartedAt"] > started


def every_answer_is_logged(stack: Stack, answers: Answers) -> None:
    """Each answer has its row, and a symbol was asked of one process at a time."""
    found = stack.folder / "predictions"
    stack.engine.run("cp", f"{stack.compose('ps', '--quiet', 'serving-a')}:{STATE}/log", str(found))
    rows = {row.request_id: row for row in read(found) if row.role == "production"}
    missing = [name for name in answers.acknowledged if name not in rows]
    assert missing == []
    for symbol in SYMBOLS:
        asked = [rows[name].instance for name, (of, _) in answers.acknowledged.items() if of == symbol]
        changes = sum(one != other for one, other in itertools.pairwise(asked))
        # There and back again for the kill and for the replacement of its process; never to and fro.
        assert changes <= 6, Counter(asked)


def seen_by_prometheus(stack: Stack) -> dict[str, float]:
    """Versions in production, by the process that Prometheus asked."""
    query = "tidegate_model_version%7Brole%3D%22production%22%7D"
    found = stack.ask("PROMETHEUS", f"/api/v1/query?query={query}")["data"]["result"]
    return {one["metric"]["instance"].partition(":")[0]: float(one["value"][1]) for one in found}


def works_after_all(stack: Stack) -> None:
    """After the database's restart a run goes through Prefect, the worker, the ledger and MLflow, which has a second version then."""
    login = stack.secret("prefect-login")
    name = stack.strategy.name
    before = len(runs(stack))
    deployment = stack.ask("PREFECT", f"/api/deployments/name/retrain/{name}", login)["id"]
    stack.ask("PREFECT", f"/api/deployments/{deployment}/create_flow_run", login, {"state": {"type": "SCHEDULED"}})
    until(lambda: len(runs(stack)) > before, "a run after the restart", 120, lambda: stack.compose("logs", "worker"))
    assert {run["state_type"] for run in runs(stack)} == {"COMPLETED"}
    model = stack.ask(
        "MLFLOW",
        f"/api/2.0/mlflow/registered-models/get?name={name}",
        f"serving:{stack.secret('mlflow-serving-password')}",
    )
    assert {one["alias"]: one["version"] for one in model["registered_model"]["aliases"]}["production"] == "2"
