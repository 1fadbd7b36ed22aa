"""The stack of docker/compose.yaml, run: a scheduled retraining promotes once there is a backup, both processes serve it, and nothing that happens costs a prediction."""

import http.client
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
    pytest.mark.timeout(3600),
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
    stack.compose("up", "--detach", "--no-build")
    until(lambda: healthy(stack) == set(STARTED), "health of all", 600, lambda: stack.compose("ps", "--all"))
    told["healthy_s"] = round(time.monotonic() - begun)
    without_a_repository_nothing_is_promoted(stack)
    told["refused_s"] = round(time.monotonic() - begun)
    stack.tidegate("backup", "--init")
    act(stack, runs(stack)[0]["deployment_id"], "resume_deployment")
    trained_by_schedule(stack, 2)
    told["promoted_s"] = round(time.monotonic() - begun)
    assert reasons(stack) == ["by hand", before(stack, 2)]
    until(
        lambda: all(stack.inside(one, "/readyz") == 200 for one in SERVING),
        "readiness",
        240,
        lambda: stack.compose("logs", "worker", SERVING[0]),
    )
    until(lambda: proxied(stack) == set(SERVING), "readiness through the proxy", 240)
    key = stack.secret("api-key-bot")
    lookback = served_lookback(stack, key, 2)

    with asking(stack, key, lookback) as answers:
        answers.more(20, "at first")
        survives_a_killed_process(stack, answers)
        survives_replacement_of_both(stack, answers)
        survives_a_new_proxy(stack, answers)
        survives_a_restarted_database(stack, answers)
        told["proxy_away_s"] = is_there_again_after_the_proxys_restart(stack, answers)
    assert answers.failed == []
    assert {version for _, version in answers.acknowledged.values()} == {2}
    told |= {"answers": len(answers.acknowledged), "failed": len(answers.failed), "asked_again": answers.asked_again}

    every_answer_is_logged(stack, answers)
    until(lambda: seen_by_prometheus(stack) == {"serving-a": 2.0, "serving-b": 2.0}, "figures in Prometheus", 240)
    works_after_all(stack)
    backs_up_and_restores_for_practice(stack)
    told["restored_s"] = is_whole_again_after_the_loss_of_all_but_the_backups(stack, key)
    told["seconds"] = round(time.monotonic() - begun)
    print(told)  # noqa: T201


def healthy(stack: Stack) -> set[str]:
    """Services that their own health checks find healthy."""
    lines = stack.compose("ps", "--format", "{{.Service}} {{.Health}}").splitlines()
    return {line.split()[0] for line in lines if line.endswith(" healthy")}


def runs(stack: Stack, flow: str = "retrain") -> list[dict[str, Any]]:
    """A flow's runs that have ended, oldest first."""
    asked = {
        "flow_runs": {"state": {"type": {"any_": ["COMPLETED", "FAILED", "CRASHED"]}}},
        "flows": {"name": {"any_": [flow]}},
        "sort": "END_TIME_DESC",
    }
    found = stack.ask("PREFECT", "/api/flow_runs/filter", stack.secret("prefect-login"), asked)
    assert isinstance(found, list)
    return found[::-1]


def trained_by_schedule(stack: Stack, count: int) -> None:
    """Wait for the run that the scheduler made, and pause the schedule: each further minute would run again."""
    until(lambda: len(runs(stack)) >= count, "a scheduled retraining", 600, lambda: stack.compose("logs", "worker"))
    run = runs(stack)[count - 1]
    act(stack, run["deployment_id"], "pause_deployment")
    assert run["auto_scheduled"] is True
    assert run["state_type"] == "COMPLETED", stack.compose("logs", "worker")[-6000:]


def act(stack: Stack, deployment: str, what: str) -> None:
    stack.ask("PREFECT", f"/api/deployments/{deployment}/{what}", stack.secret("prefect-login"), {}, method="POST")


def without_a_repository_nothing_is_promoted(stack: Stack) -> None:
    """The gates let the model through, there is no backup before the promotion, so it is refused."""
    trained_by_schedule(stack, 1)
    assert "production" not in aliases(stack)
    assert "no backup could be taken before it" in verdict(stack)


def verdict(stack: Stack) -> str:
    """What the newest retraining wrote about itself in Prefect."""
    asked = {"artifacts": {"key": {"like_": "verdict-%"}}, "sort": "CREATED_DESC", "limit": 1}
    (found,) = stack.ask("PREFECT", "/api/artifacts/filter", stack.secret("prefect-login"), asked)
    return str(found["data"])


def aliases(stack: Stack) -> dict[str, str]:
    """MLflow's aliases of the model, asked with the account that may only read."""
    login = f"serving:{stack.secret('mlflow-serving-password')}"
    path = f"/api/2.0/mlflow/registered-models/get?name={stack.strategy.name}"
    found = stack.ask("MLFLOW", path, login)["registered_model"].get("aliases", [])
    return {one["alias"]: one["version"] for one in found}


def reasons(stack: Stack) -> list[str]:
    """Why each backup was taken, by the event ledger, oldest first."""
    code = (
        "from pathlib import Path; from tidegate.registry.events import EventLedger; "
        "from tidegate.settings.loading import load_settings; import json; "
        "print(json.dumps([one.content['reason'] for one in "
        "EventLedger.from_settings(load_settings(Path('/etc/tidegate'))).rows(kinds=('backup',))]))"
    )
    found: list[str] = json.loads(stack.compose("run", "--rm", "cli", "python", "-c", code).splitlines()[-1])
    return found


def before(stack: Stack, version: int) -> str:
    """The reason of the backup before a promotion."""
    return f"before the promotion of {stack.strategy.name} v{version}"


def proxied(stack: Stack) -> set[str]:
    """Processes that the proxy finds ready, by its own figures; none while nothing answers."""
    code = "import urllib.request as r; print(r.urlopen('http://proxy:8405/metrics', timeout=5).read().decode())"
    try:
        text = stack.compose("exec", "-T", "serving-a", "python", "-c", code)
    except RuntimeError:
        return set()
    wanted = 'haproxy_server_status{proxy="serving",server="%s",state="UP"} 1'
    return {name for name in SERVING if wanted % name in text}


def served_lookback(stack: Stack, key: str, version: int) -> int:
    """Bars that the model wants; the service says so to whoever may ask it."""
    address = f"http://127.0.0.1:{stack.ports['PROXY']}/v1/model"
    request = urllib.request.Request(address, headers={"Authorization": f"Bearer {key}"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        (described,) = json.load(answer)
    assert described["production"]["version"] == version
    return int(described["production"]["lookback"])


def survives_a_killed_process(stack: Stack, answers: Answers) -> None:
    for service in SERVING:
        before = stack.container(service)
        stack.crash(service)
        answers.more(20, f"with {service} killed")

        def is_back(service: str = service, before: dict[str, Any] = before) -> bool:
            now = stack.container(service)
            return bool(now["RestartCount"] > before["RestartCount"] and stack.inside(service, "/readyz") == 200)

        until(is_back, f"{service} after its crash", 240)
        until(lambda: proxied(stack) == set(SERVING), "both in the proxy", 240)


def survives_replacement_of_both(stack: Stack, answers: Answers) -> None:
    before = {name: stack.container(name)["Id"] for name in SERVING}
    stack.run(str(stack.folder / "docker" / "roll.sh"), timeout_s=600)
    answers.more(10, "after the replacement")
    assert all(stack.container(name)["Id"] != before[name] for name in SERVING)


def survives_a_new_proxy(stack: Stack, answers: Answers) -> None:
    """A new process takes the listening sockets over; the old one ends when it has answered."""
    before = workers(stack)
    stack.compose("kill", "--signal", "USR2", "proxy")
    until(lambda: bool(workers(stack)) and not workers(stack) & before, "the old proxy's end", 240)
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
    until(lambda: "postgres" in healthy(stack), "the database", 240)
    assert stack.container("postgres")["State"]["StartedAt"] > started


def is_there_again_after_the_proxys_restart(stack: Stack, answers: Answers) -> float:
    """Its one address is closed meanwhile; bots that ask on for a few seconds get every answer. Returns the seconds it was closed.

    A bot that keeps a connection open and says nothing must not keep it closed.
    """
    silent = http.client.HTTPConnection("127.0.0.1", stack.ports["PROXY"], timeout=20)
    silent.request("GET", "/healthz")
    assert silent.getresponse().read()
    with answers.patience(25):
        stack.compose("restart", "proxy")
        answers.more(20, "after the proxy's restart")
    silent.close()
    until(lambda: proxied(stack) == set(SERVING), "both in the proxy", 240)
    return round(answers.longest_wait_s, 1)


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
    """After the database's restart a run goes through Prefect, the worker, the ledger and MLflow, which has one more version then."""
    started(stack, "retrain", stack.strategy.name, 3)
    assert aliases(stack)["production"] == "3", verdict(stack)
    assert reasons(stack)[-1] == before(stack, 3)


def backs_up_and_restores_for_practice(stack: Stack) -> None:
    """The worker's daily backup, which it verifies, and its weekly drill: PostgreSQL's dumps and the models, restored and asked."""
    started(stack, "backup", "installation", 1)
    started(stack, "restore-drill", "installation", 1)
    assert reasons(stack)[-1] == "daily"
    stack.tidegate("verify", "--live", "--read-data")


def started(stack: Stack, flow: str, name: str, count: int) -> None:
    """Start a deployment by hand, and wait until that many of its flow's runs have ended, all of them well."""
    login = stack.secret("prefect-login")
    deployment = stack.ask("PREFECT", f"/api/deployments/name/{flow}/{name}", login)["id"]
    stack.ask("PREFECT", f"/api/deployments/{deployment}/create_flow_run", login, {"state": {"type": "SCHEDULED"}})
    until(lambda: len(runs(stack, flow)) >= count, f"a run of {flow}", 600, lambda: stack.compose("logs", "worker"))
    ended = [run["state_type"] for run in runs(stack, flow)]
    assert ended == ["COMPLETED"] * count, stack.compose("logs", "worker")[-6000:]


def is_whole_again_after_the_loss_of_all_but_the_backups(stack: Stack, key: str) -> int:
    """Every volume goes but those of the repositories. Returns the seconds from then until both processes answer again."""
    stack.compose("down", "--timeout", "5")
    project = stack.environment["COMPOSE_PROJECT_NAME"]
    label = f"label=com.docker.compose.project={project}"
    volumes = set(stack.engine.run("volume", "ls", "--quiet", "--filter", label).split())
    kept = {f"{project}_backups", f"{project}_backup-keys"}
    assert kept < volumes
    stack.engine.run("volume", "rm", *(volumes - kept))
    begun = time.monotonic()
    stack.compose("up", "--detach", "--no-build", "--wait", "postgres")
    stack.compose("run", "--rm", "restore")
    stack.compose("up", "--detach", "--no-build")
    until(lambda: proxied(stack) == set(SERVING), "readiness after the restore", 600, lambda: stack.compose("logs"))
    restored_s = round(time.monotonic() - begun)
    with asking(stack, key, served_lookback(stack, key, 3)) as answers:
        answers.more(5, "after the restore")
    assert answers.failed == []
    assert {version for _, version in answers.acknowledged.values()} == {3}
    # New accounts of MLflow, who may change what the lost ones have made.
    started(stack, "retrain", stack.strategy.name, 4)
    assert "may change" not in stack.compose("run", "--rm", "accounts")  # nothing is left to give
    assert aliases(stack)["production"] == "4", verdict(stack)
    assert reasons(stack)[-1] == before(stack, 4)
    return restored_s
