"""Settings: who wins, what is refused, and what a refusal says."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tidegate.errors import ConfigurationError
from tidegate.settings.loading import load_settings, read_yaml
from tidegate.settings.reference import rows
from tidegate.settings.settings import Settings


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project without files, and an environment without our variables."""
    import os

    for name in list(os.environ):
        if name.startswith("TIDEGATE_"):
            monkeypatch.delenv(name)
    (tmp_path / "configs").mkdir()
    return tmp_path


def write(root: Path, name: str, content: Any) -> Path:  # noqa: ANN401  any YAML
    path = root / "configs" / f"{name}.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return path


# what, base.yaml, development.yaml, environment variable, the value of mlflow.port in the end
PRECEDENCE = [
    ("nothing: the default", None, None, None, 5000),
    ("base over the default", 1111, None, None, 1111),
    ("the environment's file over base", 1111, 2222, None, 2222),
    ("the environment's file without base", None, 2222, None, 2222),
    ("a variable over both", 1111, 2222, "3333", 3333),
    ("a variable over the default", None, None, "3333", 3333),
]


@pytest.mark.parametrize(("what", "base", "own", "variable", "expected"), PRECEDENCE)
def test_who_wins(
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    what: str,
    base: int | None,
    own: int | None,
    variable: str | None,
    expected: int,
) -> None:
    for name, port in (("base", base), ("development", own)):
        if port is not None:
            write(root, name, {"mlflow": {"port": port}})
    if variable is not None:
        monkeypatch.setenv("TIDEGATE_MLFLOW__PORT", variable)
    assert load_settings(root).mlflow.port == expected, what


def test_sections_are_merged_key_by_key(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(root, "base", {"mlflow": {"port": 1111, "retries": 1, "timeout_s": 11}})
    write(root, "development", {"mlflow": {"retries": 2}})
    monkeypatch.setenv("TIDEGATE_MLFLOW__TIMEOUT_S", "33")
    found = load_settings(root).mlflow
    assert (found.port, found.retries, found.timeout_s) == (1111, 2, 33)


def test_empty_files_and_no_files_are_the_defaults(root: Path) -> None:
    assert load_settings(root).validation == Settings.model_fields["validation"].get_default(call_default_factory=True)
    write(root, "base", "# nothing yet\n")
    assert load_settings(root).compute.threads == 1


def test_production_reads_its_own_file(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(root, "development", {"mlflow": {"port": 1111}})
    write(root, "production", {"mlflow": {"port": 2222}})
    assert load_settings(root).mlflow.port == 1111
    monkeypatch.setenv("TIDEGATE_ENVIRONMENT", "production")
    assert (load_settings(root).mlflow.port, load_settings(root).environment) == (2222, "production")


def test_base_may_name_the_environment(root: Path) -> None:
    write(root, "base", {"environment": "production"})
    write(root, "production", {"mlflow": {"port": 2222}})
    assert (load_settings(root).mlflow.port, load_settings(root).environment) == (2222, "production")


def test_a_file_that_names_another_environment_than_its_own_is_refused(root: Path) -> None:
    write(root, "base", {"environment": "production"})
    path = write(root, "production", {"environment": "development"})
    with pytest.raises(ConfigurationError, match=rf"{path} names another environment.*expected production"):
        load_settings(root)


def test_relative_paths_are_taken_from_the_root_and_absolute_ones_stay(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDEGATE_PATHS__RUNS", "/elsewhere/runs")
    monkeypatch.setenv("TIDEGATE_PATHS__MLRUNS", "deep/mlruns")
    paths = load_settings(root).paths
    assert paths.data == root / "data"
    assert paths.runs == Path("/elsewhere/runs")
    assert paths.mlruns == root / "deep" / "mlruns"
    assert load_settings(root).tracking_uri == f"sqlite:///{root}/deep/mlruns/mlflow.db"
    assert load_settings(root).ledger_url == f"sqlite:///{root}/data/ledger/ledger.db"


def test_the_root_can_be_named_by_a_variable(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(root, "base", {"mlflow": {"port": 1111}})
    monkeypatch.setenv("TIDEGATE_ROOT", str(root))
    assert load_settings().mlflow.port == 1111


# what, content of base.yaml, parts of the message
REFUSED: list[tuple[str, Any, list[str]]] = [
    ("an unknown key", {"mlflow": {"prot": 1}}, ["mlflow.prot", "base.yaml", "is unknown"]),
    ("an unknown section", {"mlfow": {"port": 1}}, ["mlfow", "base.yaml", "is unknown"]),
    ("under the bound", {"compute": {"threads": 0}}, ["compute.threads", "base.yaml", "greater than or equal to 1"]),
    ("over the bound", {"mlflow": {"port": 65536}}, ["mlflow.port", "base.yaml", "65535", "was 65536"]),
    ("a share over one", {"validation": {"max_missing_share": 1.1}}, ["validation.max_missing_share", "was 1.1"]),
    ("not a number", {"mlflow": {"timeout_s": "soon"}}, ["mlflow.timeout_s", "was 'soon'"]),
    ("not a number at all", {"validation": {"jump_sigmas": float("nan")}}, ["validation.jump_sigmas"]),
    ("an unknown severity", {"validation": {"gaps": "ignore"}}, ["validation.gaps", "base.yaml", "was 'ignore'"]),
    ("a section that is no mapping", {"mlflow": 5000}, ["mlflow", "base.yaml"]),
    ("an emptied section", {"mlflow": None}, ["mlflow", "base.yaml"]),
    ("an unknown environment", {"environment": "staging"}, ["environment", "base.yaml", "was 'staging'"]),
    ("two faults at once", {"mlflow": {"port": 0, "x": 1}}, ["mlflow.port", "mlflow.x"]),
    ("a list", "- a\n- b\n", ["base.yaml", "expected a mapping, was list"]),
    ("not YAML", "a: [1\nb: }", ["base.yaml", "cannot be read as YAML", "line 2"]),
    ("a key that stands twice", "mlflow:\n  port: 1\n  port: 2\n", ["base.yaml", "'port' stands twice", "line 3"]),
    ("a number as key", "1: 2\n", ["base.yaml", "expected names as keys, was 1"]),
]


@pytest.mark.parametrize(("what", "content", "told"), REFUSED)
def test_wrong_files_are_refused_by_file_and_key(root: Path, what: str, content: object, told: list[str]) -> None:
    write(root, "base", content)
    with pytest.raises(ConfigurationError) as raised:
        load_settings(root)
    assert [part for part in told if part not in str(raised.value)] == [], (what, str(raised.value))
    assert "\n" not in str(raised.value)


def test_the_message_names_the_file_that_won(root: Path) -> None:
    write(root, "base", {"mlflow": {"port": 1111}})
    path = write(root, "development", {"mlflow": {"port": 0}})
    with pytest.raises(ConfigurationError, match=rf"mlflow\.port in file {path} "):
        load_settings(root)


def test_a_wrong_variable_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(root, "base", {"mlflow": {"port": 1111}})
    monkeypatch.setenv("TIDEGATE_MLFLOW__PORT", "many")
    with pytest.raises(
        ConfigurationError, match=r"mlflow\.port in environment variable TIDEGATE_MLFLOW__PORT .*was 'many'"
    ):
        load_settings(root)


def test_a_variable_for_a_whole_section_must_be_json(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGATE_MLFLOW", '{"port": 4444}')
    assert load_settings(root).mlflow.port == 4444
    monkeypatch.setenv("TIDEGATE_MLFLOW", "port=4444")
    with pytest.raises(ConfigurationError, match="environment variable"):
        load_settings(root)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("TIDEGATE_MLFLOW__PROT", "did you mean TIDEGATE_MLFLOW__PORT?"),
        ("TIDEGATE_MLFLOW_PORT", "did you mean TIDEGATE_MLFLOW__PORT?"),
        ("TIDEGATE_MLFLOW__PORT__X", "did you mean TIDEGATE_MLFLOW__PORT?"),
        ("TIDEGATE_QQQ", "`tidegate settings --markdown` lists all names"),
    ],
)
def test_unknown_variables_are_refused(root: Path, monkeypatch: pytest.MonkeyPatch, name: str, meant: str) -> None:
    monkeypatch.setenv(name, "1")
    with pytest.raises(ConfigurationError) as raised:
        load_settings(root)
    assert f"environment variable {name} is unknown" in str(raised.value)
    assert meant in str(raised.value)


PASSWORD = "hunter2hunter2"  # noqa: S105  made up


def test_secrets_are_never_shown(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGATE_LEDGER__URL", f"postgresql+psycopg://me:{PASSWORD}@db/tidegate")
    monkeypatch.setenv("TIDEGATE_PREFECT__DATABASE_URL", f"postgresql+asyncpg://me:{PASSWORD}@db/prefect")
    monkeypatch.setenv("TIDEGATE_MLFLOW__TRACKING_URI", f"http://me:{PASSWORD}@mlflow:5000")
    loaded = load_settings(root)
    assert loaded.ledger_url.endswith(f"me:{PASSWORD}@db/tidegate"), "the secret is there"
    shown = {row.key: row.value for row in rows(loaded)}
    assert PASSWORD not in str(shown)
    assert PASSWORD not in repr(loaded.ledger) + repr(loaded.prefect)
    assert shown["mlflow.tracking_uri"] == "http://me:***@mlflow:5000"
    assert shown["ledger.url"] == "**********"


@pytest.mark.parametrize(
    "content",
    [
        {"ledger": f"postgresql://me:{PASSWORD}@db"},
        {"ledger": {"url": [PASSWORD]}},
        {"ledger": {"password": PASSWORD}},
        {"mlflow": {"tracking_uri": {"of": PASSWORD}}},
        {"prefect": {"database_url": {"of": PASSWORD}}},
        {"password": PASSWORD},
    ],
)
def test_a_refusal_does_not_show_what_may_be_a_secret(root: Path, content: dict[str, object]) -> None:
    write(root, "base", content)
    with pytest.raises(ConfigurationError) as raised:
        load_settings(root)
    assert PASSWORD not in str(raised.value)
    assert "base.yaml" in str(raised.value)


def test_settings_cannot_be_changed_afterwards(root: Path) -> None:
    loaded = load_settings(root)
    with pytest.raises(ValueError, match="frozen"):
        loaded.mlflow.port = 1  # type: ignore[misc]
    with pytest.raises(ValueError, match="frozen"):
        loaded.environment = "production"  # type: ignore[misc]


def test_the_projects_own_files_load(monkeypatch: pytest.MonkeyPatch) -> None:
    project = Path(__file__).parents[3]
    for environment in ("development", "production"):
        monkeypatch.setenv("TIDEGATE_ENVIRONMENT", environment)
        assert load_settings(project).environment == environment
    assert load_settings(project).validation.stale == "fatal"


def test_a_date_in_yaml_stays_the_text_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("since: 2024-01-01\nat: 2024-01-01T00:00:00Z\nn: 1\n")
    assert read_yaml(tmp_path / "a.yaml") == {"since": "2024-01-01", "at": "2024-01-01T00:00:00Z", "n": 1}


def test_a_missing_yaml_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"nothing\.yaml does not exist"):
        read_yaml(tmp_path / "nothing.yaml")
