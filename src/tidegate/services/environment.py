"""Environments of child processes: what they inherit, what they must not, and the switches every one gets."""

from collections.abc import Mapping, Sequence

# Read by Prefect's worker, runner and server loops; users may tune them from outside without changing what is started.
TUNING = ("PREFECT_WORKER_", "PREFECT_RUNNER_", "PREFECT_SERVER_SERVICES_", "PREFECT_LOGGING_", "PREFECT_FLOWS_")

_FOREIGN = ("PREFECT_", "MLFLOW_", "_MLFLOW_")
_QUIET = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PYTHONUNBUFFERED": "1",  # a log that is complete when a server dies
}


def child_environment(
    inherited: Mapping[str, str], own: Mapping[str, str], *, keep: Sequence[str] = (), drop: Sequence[str] = ()
) -> dict[str, str]:
    """The whole environment of a child.

    A Prefect profile or MLflow address in the caller's shell would change which database or server is used, so all
    `PREFECT_*` and `MLFLOW_*` variables are dropped but for those named in `keep`.

    Args:
        inherited: the caller's environment.
        own: what the child needs; wins over everything.
        keep: prefixes of Prefect or MLflow variables that pass.
        drop: further prefixes that do not pass.

    Returns:
        Name to value.

    >>> made = child_environment({"PATH": "/bin", "PREFECT_API_URL": "http://elsewhere"}, {"A": "b"})
    >>> made["PATH"], made["A"], "PREFECT_API_URL" in made
    ('/bin', 'b', False)
    """
    refused = (*_FOREIGN, *drop)
    passed = {
        name: value
        for name, value in inherited.items()
        if not name.startswith(refused) or (keep and name.startswith(tuple(keep)))
    }
    return passed | _QUIET | _no_proxy(passed) | dict(own)


def _no_proxy(passed: Mapping[str, str]) -> dict[str, str]:
    """Servers of this machine are asked directly even where a proxy is set."""
    present = passed.get("no_proxy") or passed.get("NO_PROXY") or ""
    names = [name.strip() for name in present.split(",") if name.strip()]
    value = ",".join(dict.fromkeys([*names, "127.0.0.1", "localhost"]))
    return {"no_proxy": value, "NO_PROXY": value}
