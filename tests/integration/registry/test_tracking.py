"""Tracking against a real MLflow server, and against a SQLite file without one."""
# ruff: noqa: ANN401  keyword arguments override fields of many types; JSON is untyped

import json
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.registry_factories import FEATURES, NOW, REAL, decision, write_bundle
from tests.servers import free_port, mlflow_server

from tidegate.errors import BundleError, PromotionRefused, RegistryError
from tidegate.keys.signing import Signer, production_message, shadow_message
from tidegate.keys.state import decode
from tidegate.model.manifest import Manifest
from tidegate.registry.comparison import compare
from tidegate.registry.database import Database
from tidegate.registry.ledger import Ledger
from tidegate.registry.promotion import Promoter
from tidegate.registry.tracking import Tracking
from tidegate.settings.settings import Mlflow, Paths, Settings

pytestmark = [pytest.mark.servers, pytest.mark.slow]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with mlflow_server(tmp_path_factory.mktemp("mlflow")) as address:
        yield address


@pytest.fixture(scope="module", params=["server", "sqlite"])
def tracking(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Tracking:
    paths = Paths(mlruns=tmp_path_factory.mktemp("mlruns"))
    if request.param == "sqlite":
        return Tracking(Settings(paths=paths))
    return Tracking(settings_for(request.getfixturevalue("server"), paths))


def settings_for(address: str, paths: Paths | None = None) -> Settings:
    return Settings(paths=paths or Paths(), mlflow=Mlflow(tracking_uri=address, timeout_s=10, retries=1))


def onnx_model() -> bytes:
    """A model that answers with the sigmoid of the sum of its three features."""
    from onnx import TensorProto, helper

    rows, single = [None, len(FEATURES)], TensorProto.FLOAT
    axes = helper.make_tensor("axes", TensorProto.INT64, [1], [1])
    nodes = [
        helper.make_node("ReduceSum", ["features", "axes"], ["sum"], keepdims=0),
        helper.make_node("Sigmoid", ["sum"], ["probability"]),
    ]
    graph = helper.make_graph(
        nodes,
        "model",
        [helper.make_tensor_value_info("features", single, rows)],
        [helper.make_tensor_value_info("probability", single, [None])],
        [axes],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def register(tracking: Tracking, folder: Path, **changes: Any) -> tuple[int, Manifest]:
    made = write_bundle(folder, onnx_model(), **changes)
    with tracking.start_run(made.strategy, "2026-11", {"retrain_key": f"{made.strategy}/2026-11"}) as run:
        run.params({"model": made.model, "seed": made.seed})
        run.metrics(made.out_of_sample)
        run.dataset("EUR/USD 1h", "a" * 64, source="data/sample", profile={"bars": 6225})
        run.decision(decision(made))
        (folder.parent / "report.html").write_text("<h1>promoted</h1>")
        run.artifact(folder.parent / "report.html")
        with run.child("fold 0", {"fold": "0"}) as fold:
            fold.metrics({"sharpe": 1.1})
        tags = {"verdict": "promote", "retrain_key": f"{made.strategy}/2026-11"}
        version = tracking.register(folder, run, FEATURES, description="For the **test**.", tags=tags)
    return version, made


def test_a_registered_version_shows_and_returns_what_was_put_in(tracking: Tracking, tmp_path: Path) -> None:
    version, made = register(tracking, tmp_path / "bundle")
    found = tracking.version(REAL, version)
    assert found.description == "For the **test**."
    assert found.tags["kind"] == "real"
    assert found.tags["manifest_digest"] == made.digest()
    assert found.tags["snapshot.EUR-USD"] == "a" * 64
    assert found.metrics["sharpe"] == 1.8
    assert "sortino" not in found.metrics
    assert found.params["model.max_depth"] == "4"
    assert tracking.alias(REAL, "challenger") == version
    assert tracking.verified_manifest(REAL, version) == made
    fetched = tracking.fetch_bundle(REAL, version, tmp_path / "fetched")
    assert contents(fetched) == contents(tmp_path / "bundle")
    assert tracking.decision(REAL, version) == decision(made)

    client = tracking.connection.client
    run = client.get_run(found.run_id)
    assert run.info.status == "FINISHED"
    assert run.inputs.dataset_inputs[0].dataset.digest == "a" * 36
    assert [output.model_id for output in run.outputs.model_outputs] == [model_id(tracking, version)]
    children = client.search_runs([run.info.experiment_id], f"tags.mlflow.parentRunId = '{found.run_id}'")
    assert [child.data.metrics["sharpe"] for child in children] == [1.1]
    logged = client.get_logged_model(model_id(tracking, version))
    assert {metric.key: metric.value for metric in logged.metrics} == {"sharpe": 1.8, "win_rate": 0.6}
    assert str(logged.status) == "READY"


def test_people_find_in_mlflow_what_compares_and_how_to_go_back(tracking: Tracking, tmp_path: Path) -> None:
    version, _ = register(tracking, tmp_path / "bundle")
    client = tracking.connection.client
    assert list(client.get_model_version(REAL, str(version)).tags)[:2] == ["verdict", "retrain_key"]
    told = client.get_registered_model(REAL).description
    assert told.startswith("**Real market**: EUR/USD, 1h.")
    assert f"`tidegate rollback {REAL} --reason" in told
    found = tracking.version(REAL, version)
    experiment = client.get_experiment(client.get_run(found.run_id).info.experiment_id)
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"


def test_a_run_is_renamed_after_it_has_ended(tracking: Tracking) -> None:
    with tracking.start_run(REAL, "2026-12 retrain") as run:
        pass
    run.rename("2026-12 v2 promoted")
    assert tracking.connection.client.get_run(run.run_id).info.run_name == "2026-12 v2 promoted"


def test_the_model_folder_has_a_signature_and_mlflow_loads_it(tracking: Tracking, tmp_path: Path) -> None:
    import mlflow.artifacts
    import onnxruntime
    from mlflow.models import Model

    version, _ = register(tracking, tmp_path / "bundle")
    location = tracking.connection.client.get_model_version_download_uri(REAL, str(version))
    folder = Path(
        mlflow.artifacts.download_artifacts(location, dst_path=str(tmp_path), tracking_uri=tracking.connection.uri)
    )
    model = Model.load(str(folder))
    (one_input,) = model.signature.inputs.inputs
    assert (one_input.type, one_input.shape) == (np.dtype(np.float32), (-1, 3))
    (one_output,) = model.signature.outputs.inputs
    assert (one_output.type, one_output.shape) == (np.dtype(np.float32), (-1,))
    assert model.metadata["features"] == list(FEATURES)
    assert (folder / "requirements.txt").read_text() == "numpy==2.4.6\nonnxruntime==1.32.0\n"
    session = onnxruntime.InferenceSession(str(folder / model.flavors["onnx"]["data"]))
    (probability,) = session.run(None, {"features": np.zeros((2, 3), np.float32)})
    np.testing.assert_allclose(probability, [0.5, 0.5])
    assert not [path for path in folder.rglob("*") if path.suffix in {".pkl", ".pickle", ".cloudpickle"}]


def test_a_bundle_can_be_read_through_rest_without_mlflow(server: str, tmp_path: Path) -> None:
    tracking = Tracking(settings_for(server))
    version, _ = register(tracking, tmp_path / "bundle")
    tracking.set_alias(REAL, "production", version)
    query = urllib.parse.urlencode({"name": REAL, "alias": "production"})
    found = get(f"{server}/api/2.0/mlflow/registered-models/alias?{query}")["model_version"]["version"]
    assert found == str(version)
    query = urllib.parse.urlencode({"name": REAL, "version": found})
    uri = get(f"{server}/api/2.0/mlflow/model-versions/get-download-uri?{query}")["artifact_uri"]
    assert uri.startswith("mlflow-artifacts:/")
    root = uri.removeprefix("mlflow-artifacts:/").lstrip("/")
    listed = get(f"{server}/api/2.0/mlflow-artifacts/artifacts?{urllib.parse.urlencode({'path': root + '/bundle'})}")
    names = sorted(Path(file["path"]).name for file in listed["files"])
    fetched = {
        name: read(f"{server}/api/2.0/mlflow-artifacts/artifacts/{urllib.parse.quote(f'{root}/bundle/{name}')}")
        for name in names
    }
    assert fetched == contents(tmp_path / "bundle")
    tracking.set_alias(REAL, "production", None)
    assert tracking.alias(REAL, "production") is None


def test_an_altered_file_is_refused(tracking: Tracking, tmp_path: Path) -> None:
    version, _ = register(tracking, tmp_path / "bundle")
    altered = tmp_path / "altered" / "model.onnx"
    altered.parent.mkdir()
    altered.write_bytes(b"another model")
    tracking.connection.client.log_model_artifact(model_id(tracking, version), str(altered), "bundle")
    with pytest.raises(BundleError, match=r"model\.onnx was altered"):
        tracking.verified_manifest(REAL, version)
    with pytest.raises(BundleError, match=r"model\.onnx was altered"):
        tracking.fetch_bundle(REAL, version, tmp_path / "fetched")
    assert not (tmp_path / "fetched").exists()


def test_a_bundle_that_is_not_there_may_be_a_store_that_is_not(server: str, tmp_path: Path) -> None:
    tracking = Tracking(settings_for(server, Paths(mlruns=tmp_path)))
    version, _ = register(tracking, tmp_path / "bundle")
    tracking._repository(tracking._location(REAL, version)).delete_artifacts()
    with pytest.raises(BundleError, match=r"holds no bundle.*artifact store is there"):
        tracking.verified_manifest(REAL, version)


def test_the_bundles_own_decision_goes_before_the_runs(tracking: Tracking, tmp_path: Path) -> None:
    made = write_bundle(tmp_path / "bundle", onnx_model())
    refused = decision(made, promote=False)
    (tmp_path / "bundle" / "decision.json").write_text(refused.model_dump_json())
    with tracking.start_run(REAL, "2026-11") as run:
        run.decision(decision(made))
        version = tracking.register(tmp_path / "bundle", run, FEATURES, description="refused")
    assert tracking.decision(REAL, version) == refused


def test_without_a_decision(tracking: Tracking, tmp_path: Path) -> None:
    write_bundle(tmp_path / "bundle", onnx_model())
    with tracking.start_run(REAL, "2026-11") as run:
        version = tracking.register(tmp_path / "bundle", run, FEATURES, description="undecided")
    assert tracking.decision(REAL, version) is None


def test_signatures_are_kept_beside_the_bundle(tracking: Tracking, tmp_path: Path) -> None:
    made = write_bundle(tmp_path / "bundle", onnx_model())
    with tracking.start_run(REAL, "2026-11") as run:
        version = tracking.register(tmp_path / "bundle", run, FEATURES, description="", shadow_signature=b"s" * 64)
    assert tracking.signature(REAL, version) is None
    assert tracking.shadow_signature(REAL, version) == b"s" * 64
    for signature in (b"1" * 64, b"2" * 64):
        tracking.attach_signature(REAL, version, signature)
        assert tracking.signature(REAL, version) == signature, "a newer one takes the place of the one before"
    files = tracking.connection.client.list_logged_model_artifacts(model_id(tracking, version), "signature")
    assert sorted(file.path for file in files) == ["signature/manifest.sig", "signature/shadow.sig"]
    assert tracking.verified_manifest(REAL, version) == made


def test_without_a_key_nothing_is_signed(tracking: Tracking, tmp_path: Path) -> None:
    version, _ = register(tracking, tmp_path / "bundle")
    assert tracking.signature(REAL, version) is None
    assert tracking.connection.client.list_logged_model_artifacts(model_id(tracking, version), "signature") == []


def test_the_longest_signed_state_is_kept_whole(tracking: Tracking, tmp_path: Path) -> None:
    assert tracking.signed_state("eurusd-unknown") is None
    assert tracking.keep_signed_state("eurusd-unknown", "- {}") is False
    register(tracking, tmp_path / "bundle")
    for text in ("x" * 5000, '- {"a":"\\u00fc <&>"}'):
        assert tracking.keep_signed_state(REAL, text) is True
        assert tracking.signed_state(REAL) == text


def test_a_service_reads_signatures_and_state_through_rest(server: str, tmp_path: Path) -> None:
    tracking, signer = Tracking(settings_for(server)), Signer.new()
    strategy = "eurusd-signed"
    made = write_bundle(tmp_path / "bundle", onnx_model(), strategy=strategy)
    judged = decision(made)
    with tracking.start_run(strategy, "2026-11") as run:
        run.decision(judged)
        shadow = signer.sign(shadow_message(made.digest()))
        tracking.register(tmp_path / "bundle", run, FEATURES, description="", shadow_signature=shadow)
    ledger = Ledger(Database(f"sqlite:///{tmp_path}/ledger.db"))
    promoter = Promoter(ledger, tracking, signer, today=lambda _strategy: NOW)
    promoter.promote(strategy, 1, judged, actor="ann", reason="test", champion=None)

    model = get(f"{server}/api/2.0/mlflow/registered-models/get?{urllib.parse.urlencode({'name': strategy})}")
    tags = {tag["key"]: tag["value"] for tag in model["registered_model"]["tags"]}
    state = decode(tags["signed_state"], signer.verifier(), strategy)
    assert (state.production_version, state.production) == (1, made.digest())
    query = urllib.parse.urlencode({"name": strategy, "version": "1"})
    uri = get(f"{server}/api/2.0/mlflow/model-versions/get-download-uri?{query}")["artifact_uri"]
    root = urllib.parse.quote(uri.removeprefix("mlflow-artifacts:/").lstrip("/"))
    for name, message in (("manifest", production_message(made.digest())), ("shadow", shadow_message(made.digest()))):
        signature = read(f"{server}/api/2.0/mlflow-artifacts/artifacts/{root}/signature/{name}.sig")
        assert signer.verifier().verify(message, signature) == signer.key_id


def test_the_kind_never_changes(tracking: Tracking, tmp_path: Path) -> None:
    register(tracking, tmp_path / "bundle")
    simulated = write_bundle(tmp_path / "simulated", kind="simulated", symbols=("SIM/USD",))
    with tracking.start_run(REAL, "2026-11") as run, pytest.raises(PromotionRefused, match="expected kind real"):
        tracking.register(tmp_path / "simulated", run, FEATURES, description="no")
    assert simulated.kind == "simulated"
    assert tracking.kind(REAL) == "real"


def test_a_run_that_fails_is_marked(tracking: Tracking) -> None:
    with pytest.raises(ZeroDivisionError), tracking.start_run(REAL, "failing") as run:
        raise ZeroDivisionError("no bars")
    found = tracking.connection.client.get_run(run.run_id)
    assert found.info.status == "FAILED"
    assert found.data.tags["error"] == "ZeroDivisionError: no bars"


def test_old_versions_go_and_named_ones_stay(tracking: Tracking, tmp_path: Path) -> None:
    strategy = "eurusd-pruned"
    for number in range(6):
        register(tracking, tmp_path / f"bundle-{number}", strategy=strategy)
    tracking.set_alias(strategy, "previous", 1)
    location = tracking.connection.client.get_model_version_download_uri(strategy, "3")
    assert tracking.prune(strategy, protected={2}, keep=3) == [3]
    assert tracking.versions(strategy) == [6, 5, 4, 2, 1]
    assert tracking.prune(strategy, protected={2}, keep=3) == []
    assert tracking._repository(location).list_artifacts("bundle") == []
    tracking.verified_manifest(strategy, 2)


def test_tags_for_people_are_set_and_removed(tracking: Tracking, tmp_path: Path) -> None:
    version, _ = register(tracking, tmp_path / "bundle")
    tracking.show(REAL, {version: {"status": "production"}, 10_000: {"status": "gone"}}, {"halted": "by ann"})
    assert tracking.version(REAL, version).tags["status"] == "production"
    assert tracking._model(REAL).tags["halted"] == "by ann"
    tracking.show(REAL, {}, {"halted": ""})
    assert "halted" not in tracking._model(REAL).tags


def test_two_versions_side_by_side(tracking: Tracking, tmp_path: Path) -> None:
    a, _ = register(tracking, tmp_path / "a")
    b, _ = register(tracking, tmp_path / "b", seed=8, out_of_sample={"sharpe": 2.0})
    found = compare(tracking, REAL, a, b)
    assert found["metrics"]["sharpe"] == (1.8, 2.0)
    assert found["params"]["seed"] == ("7", "8")
    assert found["windows"]["test_end_at"] == (20, 20)
    assert found["gates"]["sharpe"][0] == {"verdict": "pass", "observed": 1.0, "threshold": 0.5}
    assert found["same_data"]


def test_a_version_that_does_not_exist(tracking: Tracking) -> None:
    assert tracking.alias("no-such-strategy", "production") is None
    assert tracking.kind("no-such-strategy") is None
    with pytest.raises(RegistryError, match="has no v99999"):
        tracking.version(REAL, 99999)


def test_a_server_that_is_down_is_named(tmp_path: Path) -> None:
    address = f"http://ann:secret@127.0.0.1:{free_port()}"
    settings = Settings(mlflow=Mlflow(tracking_uri=address, timeout_s=2, retries=0))
    with pytest.raises(RegistryError, match=r"127\.0\.0\.1:\d+.*tidegate up") as caught:
        Tracking(settings).alias(REAL, "production")
    assert "secret" not in str(caught.value)
    assert tmp_path.exists()


def model_id(tracking: Tracking, version: int) -> str:
    return str(tracking.connection.client.get_model_version(REAL, str(version)).source).removeprefix("models:/")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def read(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return bytes(answer.read())


def get(url: str) -> Any:
    return json.loads(read(url))
