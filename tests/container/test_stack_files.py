"""The compose files as Compose reads them, and the programs that start in the pipeline's containers. No engine is needed."""

import importlib.util
import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from tests.container.engine import ROOT
from tests.container.stack import plugins
from tests.unavailable import unavailable

from tidegate.keys.api_keys import ApiKeys
from tidegate.settings.settings import Settings

DOCKER = ROOT / "docker"
ONCE = {"accounts", "cli", "restore"}  # these end by themselves
PUBLISHED = {"proxy", "mlflow", "prefect", "prometheus", "alertmanager", "grafana"}
OTHERS = {"production": [], "debian": ["compose.debian.yaml"], "development": ["compose.development.yaml"]}


def composed(*files: str, strategies: str = "one,two") -> dict[str, Any]:
    """All of it as Compose understands it; anything that it warns of fails."""
    client = next((path for path in ("/usr/bin/docker", shutil.which("docker")) if path and Path(path).exists()), None)
    if client is None:
        unavailable("there is no docker on this machine: `make system` installs it")
    names = ["compose.yaml", *files]
    given = [part for name in names for part in ("-f", str(DOCKER / name))]
    command = [client, "compose", *given, "--profile", "*", "config", "--format", "json"]
    environment = {"PATH": os.environ["PATH"], "DOCKER_CONFIG": str(plugins()), "STRATEGIES": strategies}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    read: dict[str, Any] = json.loads(done.stdout)
    return read


@pytest.fixture(scope="module", params=sorted(OTHERS))
def whole(request: pytest.FixtureRequest) -> dict[str, Any]:
    return composed(*OTHERS[request.param])


def test_without_strategies_nothing_starts() -> None:
    with pytest.raises(AssertionError, match="name the strategies"):
        composed(strategies="")


def test_each_service_has_limits_and_few_rights(whole: dict[str, Any]) -> None:
    for name, service in whole["services"].items():
        assert int(service["mem_limit"]) > 0, name
        assert float(service["cpus"]) > 0, name
        assert service["pids_limit"] > 0, name
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not service.get("privileged"), name
        assert service.get("user") != "root", name
        assert ("healthcheck" in service) == (name not in ONCE), name


def test_what_is_published_is_published_to_this_machine_alone(whole: dict[str, Any]) -> None:
    ports = {name: service["ports"] for name, service in whole["services"].items() if service.get("ports")}
    assert set(ports) == PUBLISHED
    assert {port["host_ip"] for found in ports.values() for port in found} == {"127.0.0.1"}


def test_networks_have_no_way_out_but_three_on_which_containers_do_not_meet(whole: dict[str, Any]) -> None:
    networks = whole["networks"]
    out = {name for name, network in networks.items() if not network.get("internal")}
    assert out == {"edge", "interfaces", "outbound"}
    for name in out:
        assert networks[name]["driver_opts"] == {"com.docker.network.bridge.enable_icc": "false"}
    on = {name: set(service["networks"]) for name, service in whole["services"].items()}
    for name in ("serving-a", "serving-b", "postgres"):
        assert not on[name] & out, name
    assert {name for name, found in on.items() if "database" in found} == {
        "postgres",
        "mlflow",
        "prefect",
        "worker",
        "watch",
        "cli",
        "restore",
    }
    assert {name for name, found in on.items() if "predictions" in found} == {"proxy", "serving-a", "serving-b"}


def test_no_image_of_others_is_the_newest_whatever_it_is(whole: dict[str, Any]) -> None:
    images = {service["image"] for service in whole["services"].values()}
    own = {"tidegate-serving", "tidegate-pipeline", "tidegate-debian"}
    for image in images - own:
        assert image.rpartition(":")[2][:1] in "v0123456789", image
        assert "." in image.rpartition(":")[2], image


def test_secrets_are_files_and_no_variable_holds_one(whole: dict[str, Any]) -> None:
    assert all(set(secret) <= {"name", "file"} for secret in whole["secrets"].values())
    for name, service in whole["services"].items():
        for variable, value in (service.get("environment") or {}).items():
            if "PASSWORD" in variable or "SECRET" in variable or "AUTH_STRING" in variable or "://" in str(value):
                bare = "{secret:" in value or value.startswith(("/run/secrets/", "http://")) or value == ""
                assert bare, f"{name}: {variable}"
    seen = {
        name
        for name, service in whole["services"].items()
        for one in service.get("secrets", ())
        if one["source"] == "signing-private.pem"
    }
    assert seen == {"worker", "watch", "cli", "restore"}


def test_whoever_backs_up_reads_what_is_backed_up_and_writes_the_repositories(whole: dict[str, Any]) -> None:
    for name in ("worker", "cli"):
        service = whole["services"][name]
        environment, mounts = service["environment"], {mount["target"]: mount for mount in service["volumes"]}
        assert mounts[environment["TIDEGATE_BACKUP__MLFLOW_ARTIFACTS"]]["read_only"] is True
        assert mounts[environment["TIDEGATE_BACKUP__MLFLOW_ARTIFACTS"]]["source"] == "artifacts"
        for repository in ("TIDEGATE_BACKUP__REPOSITORY", "TIDEGATE_BACKUP__KEYS_REPOSITORY"):
            assert not mounts[environment[repository]].get("read_only"), repository
        seen = {f"/run/secrets/{one['source']}" for one in service["secrets"]}
        files = {
            value for key, value in environment.items() if key.startswith("TIDEGATE_BACKUP__") and key.endswith("_FILE")
        }
        assert len(files) == 3
        assert files <= seen
    for name, service in whole["services"].items():
        written = {mount["source"] for mount in service.get("volumes", ()) if not mount.get("read_only")}
        assert ("artifacts" in written) == (name in {"mlflow", "restore"}), name
    production = yaml.safe_load((ROOT / "configs" / "production.yaml").read_text())
    assert production["backup"]["before_promotion"] == "require"


def test_what_is_mounted_from_the_project_is_there_and_read_only(whole: dict[str, Any]) -> None:
    for name, service in whole["services"].items():
        for mount in service.get("volumes", ()):
            if mount["type"] == "bind":
                assert mount["read_only"] is True, name
                assert Path(mount["source"]).exists() or "secrets" in mount["source"], mount["source"]
    for config in whole["configs"].values():
        assert Path(config["file"]).is_file()


def test_development_and_production_differ() -> None:
    production, development = composed(), composed("compose.development.yaml")
    for name in ("worker", "watch", "serving-a", "serving-b"):
        assert production["services"][name]["environment"]["TIDEGATE_ENVIRONMENT"] == "production"
        assert development["services"][name]["environment"]["TIDEGATE_ENVIRONMENT"] == "development"
        assert "build" not in production["services"][name]
        assert "build" in development["services"][name]


def test_every_variable_of_tidegate_is_a_setting() -> None:
    from tidegate.settings.loading import PREFIX, _variables

    known = {*_variables(Settings, PREFIX), "TIDEGATE_ROOT"}
    foreign = {"alloy"}  # its file reads two variables of its own
    for name, service in composed()["services"].items():
        given = {one for one in service.get("environment") or {} if one.startswith(PREFIX)}
        assert name in foreign or given <= known, name


def test_both_prometheus_files_ask_for_the_same() -> None:
    alone, stack = (
        yaml.safe_load((DOCKER / "prometheus" / name).read_text()) for name in ("prometheus.yml", "stack.yml")
    )
    jobs = [{job["job_name"]: job.get("honor_labels") for job in one["scrape_configs"]} for one in (alone, stack)]
    assert jobs[1] == jobs[0] | {"tidegate-proxy": None}
    assert (alone["rule_files"], alone["global"]) == (stack["rule_files"], stack["global"])


def test_grafana_has_the_source_that_dashboards_ask() -> None:
    alone = yaml.safe_load((DOCKER / "grafana/provisioning/datasources/prometheus.yml").read_text())["datasources"][0]
    stack = yaml.safe_load((DOCKER / "grafana/stack/tidegate.yml").read_text())["datasources"][0]
    assert alone | {"url": stack["url"]} == stack


class TestSecrets:
    def start(self, folder: Path, program: list[str], **variables: str) -> subprocess.CompletedProcess[str]:
        source = (DOCKER / "pipeline" / "start.py").read_text().replace("/run/secrets", str(folder))
        return subprocess.run(
            [sys.executable, "-c", source, *program], env=variables, capture_output=True, text=True, check=False
        )

    def test_places_are_filled_in(self, tmp_path: Path) -> None:
        (tmp_path / "one").write_text(" s3cret\n")
        show = [sys.executable, "-c", "import os; print(os.environ['URL'], os.environ['OTHER'])"]
        done = self.start(tmp_path, show, URL="postgresql://me:{secret:one}@host/{x}", OTHER="as it is")
        assert done.stdout == "postgresql://me:s3cret@host/{x} as it is\n"

    @pytest.mark.parametrize("content", [None, "", "\n"])
    def test_a_missing_or_empty_secret_starts_nothing(self, tmp_path: Path, content: str | None) -> None:
        if content is not None:
            (tmp_path / "one").write_text(content)
        done = self.start(tmp_path, ["/bin/echo", "started"], URL="{secret:one}")
        assert done.returncode == 1
        assert done.stdout == ""
        assert "URL: the secret one" in done.stderr

    @pytest.mark.skipif(os.geteuid() != 0, reason="the files belong to the containers' user, which takes root")
    def test_they_are_made_once_and_closed(self, tmp_path: Path) -> None:
        folder = tmp_path / "secrets"
        make = [sys.executable, str(DOCKER / "make_secrets.py"), str(folder)]
        first = subprocess.run(make, capture_output=True, text=True, check=True)
        made = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        assert set(composed()["secrets"]) <= {path.name for path in made}
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        closed = (
            "signing-private.pem",
            "serving/api-keys.yaml",
            "backup-password",
            "backup-keys-password",
            "backup-environment",
        )
        for name in closed:
            found = (folder / name).stat()
            assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (10001, 0o600)
        keys = ApiKeys.from_file(folder / "serving" / "api-keys.yaml")
        assert keys.identify((folder / "api-key-bot").read_text(), 1) is not None
        second = subprocess.run(make, capture_output=True, text=True, check=True)
        assert (len(first.stdout.splitlines()), second.stdout) == (18, "")
        assert {path: (folder / path).read_bytes() for path in made} == made


def restoring() -> ModuleType:
    spec = importlib.util.spec_from_file_location("restore", DOCKER / "pipeline" / "restore.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class TestRestore:
    def test_nothing_is_put_over_what_is_there(self, tmp_path: Path) -> None:
        empty, full = tmp_path / "empty", tmp_path / "full"
        empty.mkdir()
        full.mkdir()
        restoring().require_nothing({"bars": empty, "runs": tmp_path / "missing"})
        (full / "one").touch()
        with pytest.raises(SystemExit, match="full is not empty"):
            restoring().require_nothing({"bars": empty, "runs": full})

    def test_a_folder_moves_into_one_that_is_there(self, tmp_path: Path) -> None:
        (tmp_path / "restored" / "deep").mkdir(parents=True)
        (tmp_path / "restored" / "deep" / "one").write_text("1")
        (tmp_path / "volume").mkdir()
        assert restoring().put(tmp_path / "restored", tmp_path / "volume") == 1
        assert (tmp_path / "volume" / "deep" / "one").read_text() == "1"
        assert not (tmp_path / "restored").exists()

    def test_every_address_and_folder_must_be_named(self) -> None:
        for ask in (restoring().places, restoring().databases):
            with pytest.raises(SystemExit, match="set"):
                ask(Settings())


def test_mlflow_reads_the_accounts_settings_as_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "accounts.ini"
    url = "postgresql+psycopg://mlflow:a%2Fb@postgres/accounts"
    code = (
        f"import sys; sys.path.insert(0, {str(DOCKER / 'pipeline')!r}); import registry; from pathlib import Path\n"
        f"registry.write_settings(Path({str(path)!r}), {url!r})\n"
        "from mlflow.server.auth.config import read_auth_config; c = read_auth_config()\n"
        "print(c.database_uri, c.default_permission, c.admin_username, c.admin_password, c.auth_cache_ttl_seconds)"
    )
    source = "import os; os.environ['MLFLOW_AUTH_ADMIN_PASSWORD'] = 'from the environment'\n" + code
    environment = {**os.environ, "MLFLOW_AUTH_CONFIG_PATH": str(path)}
    # Without the package's __init__, which wants a server's key: the settings alone are read.
    loaded = source.replace(
        "from mlflow.server.auth.config import read_auth_config",
        "import importlib.util as u, mlflow.server; s = u.spec_from_file_location('c', "
        "mlflow.server.__path__[0] + '/auth/config.py'); m = u.module_from_spec(s); s.loader.exec_module(m); "
        "read_auth_config = m.read_auth_config",
    )
    done = subprocess.run([sys.executable, "-c", loaded], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.split("\n")[-2] == f"{url} READ admin from the environment 60", done.stderr[-2000:]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("name", ["pipeline", "debian"])
def test_hadolint_finds_nothing(name: str) -> None:
    program = Path(sys.executable).with_name("hadolint")
    file = DOCKER / name / "Dockerfile"
    done = subprocess.run([program, file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
