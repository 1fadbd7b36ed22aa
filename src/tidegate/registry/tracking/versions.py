"""Registered versions: each holds a bundle, is found by alias, and is fetched verified."""

import json
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tidegate.errors import BundleError, PromotionRefused, RegistryError
from tidegate.gates.result import Decision
from tidegate.keys.state import TAG
from tidegate.model.bundle import DECISION, verify_files
from tidegate.model.manifest import Manifest
from tidegate.registry.tracking.bundles import (
    BUNDLE_FOLDER,
    SHADOW_FILE,
    SIGNATURE_FILE,
    SIGNATURE_FOLDER,
    describe_model,
)
from tidegate.registry.tracking.connection import Connection
from tidegate.registry.tracking.runs import TrackedRun, metric_entities, open_run
from tidegate.settings.settings import Settings


@dataclass(frozen=True, slots=True)
class Version:
    """A registered version as MLflow shows it. `created_at` is UTC ms."""

    strategy: str
    version: int
    run_id: str
    description: str
    tags: dict[str, str]
    aliases: tuple[str, ...]
    created_at: int
    metrics: dict[str, float]
    params: dict[str, str]


class Tracking:
    """MLflow, as far as tidegate uses it. Making one imports and connects nothing.

    Every method raises RegistryError, with the address and the next step, when MLflow cannot be reached or refuses.
    """

    def __init__(self, settings: Settings) -> None:
        self.connection = Connection(settings)

    @property
    def address(self) -> str:
        """Where MLflow is, without a password."""
        return self.connection.address

    @contextmanager
    def start_run(self, strategy: str, run_name: str, tags: Mapping[str, str] | None = None) -> Iterator[TrackedRun]:
        """Open a run in the strategy's experiment; see `runs.open_run`."""
        with open_run(self.connection, strategy, run_name, tags or {}) as run:
            yield run

    def register(
        self,
        bundle_dir: Path,
        run: TrackedRun,
        feature_names: Sequence[str],
        *,
        description: str,
        tags: Mapping[str, str] | None = None,
        metrics: Mapping[str, float | None] | None = None,
        shadow_signature: bytes | None = None,
    ) -> int:
        """Register a bundle as the next version of its strategy and point the alias `challenger` to it.

        Args:
            bundle_dir: folder with `manifest.json` and the files that it names; verified first.
            run: the run that made it.
            feature_names: the model's inputs in order.
            description: for people, Markdown.
            tags: shown with the version, such as verdict and retrain key; kind, digest and snapshots are added.
            metrics: shown with the model; by default the manifest's out-of-sample summary.
            shadow_signature: signature of the manifest's digest for shadow runs, kept as `signature/shadow.sig`.

        Returns:
            The version's number.

        Raises:
            BundleError: the bundle does not verify.
            PromotionRefused: the registered model is of another kind.
        """
        manifest = verify_files(bundle_dir)
        if manifest.strategy != run.strategy:
            raise BundleError("the bundle belongs to another strategy", expected=run.strategy, actual=manifest.strategy)
        if [feature.name for feature in manifest.features] != list(feature_names):
            raise BundleError("the feature names are not the manifest's", actual=", ".join(feature_names))
        strategy, client = manifest.strategy, self.connection.client
        self._registered_model(manifest)
        # A list of versions shows the first few: what people look for before what programs compare.
        all_tags = {
            **(tags or {}),
            "kind": manifest.kind,
            "manifest_digest": manifest.digest(),
            "feature_hash": manifest.feature_hash,
            **{f"snapshot.{_tag_name(symbol)}": digest for symbol, digest in manifest.snapshots.items()},
        }
        shown = manifest.out_of_sample if metrics is None else metrics
        with self.connection.calling(f"register a version of {strategy}"):
            model_id = self._log_model(bundle_dir, manifest, run, feature_names, all_tags, shown, shadow_signature)
            with self.connection.as_default():
                created = client.create_model_version(
                    strategy,
                    source=f"models:/{model_id}",
                    run_id=run.run_id,
                    tags=all_tags,
                    description=description,
                    model_id=model_id,
                    await_creation_for=0,
                )
            entry = json.dumps([{"name": strategy, "version": created.version}])
            client.set_logged_model_tags(model_id, {"mlflow.modelVersions": entry})
            client.set_registered_model_alias(strategy, "challenger", created.version)
        return int(created.version)

    def _registered_model(self, manifest: Manifest) -> None:
        strategy, client = manifest.strategy, self.connection.client
        if not self._exists(strategy):
            tags = {"kind": manifest.kind, "symbols": ",".join(manifest.symbols), "interval": manifest.interval}
            with self.connection.calling(f"create the registered model {strategy}"):
                client.create_registered_model(strategy, tags=tags, description=_model_note(manifest))
        kind = self.kind(strategy)
        if kind != manifest.kind:
            raise PromotionRefused(
                f"a {manifest.kind} bundle cannot be registered under {strategy}",
                expected=f"kind {kind}, as at its first registration",
                actual=manifest.kind,
                next_step="give the strategy another name",
            )

    def _log_model(
        self,
        bundle_dir: Path,
        manifest: Manifest,
        run: TrackedRun,
        feature_names: Sequence[str],
        tags: Mapping[str, str],
        metrics: Mapping[str, float | None],
        shadow_signature: bytes | None,
    ) -> str:
        from mlflow.entities import LoggedModelOutput

        client = self.connection.client
        params = {name: str(value) for name, value in manifest.model.items()} | {"seed": str(manifest.seed)}
        model = client.create_logged_model(
            run.experiment_id, manifest.strategy, run.run_id, dict(tags), params, model_type="onnx"
        )
        model_id = str(model.model_id)
        try:
            with tempfile.TemporaryDirectory(prefix="tidegate-register-") as temporary:
                folder = Path(temporary)
                describe_model(manifest, feature_names, model_id, run.run_id, folder)
                shutil.copytree(bundle_dir, folder / BUNDLE_FOLDER)
                if shadow_signature is not None:
                    (folder / SIGNATURE_FOLDER).mkdir()
                    (folder / SIGNATURE_FOLDER / SHADOW_FILE).write_bytes(shadow_signature)
                client.log_model_artifacts(model_id, str(folder))
            for part in metric_entities(metrics, 0, model_id):
                client.log_batch(run.run_id, metrics=part)
            client.log_outputs(run.run_id, models=[LoggedModelOutput(model_id, step=0)])
        except BaseException:
            client.finalize_logged_model(model_id, "FAILED")
            raise
        client.finalize_logged_model(model_id, "READY")
        return model_id

    def alias(self, strategy: str, alias: str) -> int | None:
        """The version an alias points to, None where there is no such alias or model."""
        model = self._model(strategy)
        version = None if model is None else model.aliases.get(alias)
        return None if version is None else int(version)

    def set_alias(self, strategy: str, alias: str, version: int | None) -> None:
        """Point an alias to a version, or remove it."""
        client = self.connection.client
        if version is None:
            if self.alias(strategy, alias) is not None:
                with self.connection.calling(f"remove the alias {alias} of {strategy}"):
                    client.delete_registered_model_alias(strategy, alias)
            return
        with self.connection.calling(f"set the alias {alias} of {strategy} to v{version}"):
            client.set_registered_model_alias(strategy, alias, str(version))

    def kind(self, strategy: str) -> str | None:
        """The registered model's kind, as set at its first registration."""
        model = self._model(strategy)
        return None if model is None else model.tags.get("kind")

    def versions(self, strategy: str) -> list[int]:
        """Numbers of all versions, newest first."""
        with self.connection.calling(f"list the versions of {strategy}"):
            found, token = [], None
            while True:
                page = self.connection.client.search_model_versions(
                    f"name = '{strategy}'", max_results=200, page_token=token
                )
                found += [int(version.version) for version in page]
                token = page.token
                if not token:
                    return sorted(found, reverse=True)

    def version(self, strategy: str, version: int) -> Version:
        """A version with its tags, and its run's metrics and parameters."""
        found = self._version(strategy, version)
        with self.connection.calling(f"read run {found.run_id}"):
            run = self.connection.client.get_run(found.run_id)
        return Version(
            strategy=strategy,
            version=version,
            run_id=str(found.run_id),
            description=str(found.description or ""),
            tags=dict(found.tags),
            aliases=tuple(found.aliases),
            created_at=int(found.creation_timestamp),
            metrics=dict(run.data.metrics),
            params=dict(run.data.params),
        )

    def decision(self, strategy: str, version: int) -> Decision | None:
        """The gates' decision kept with the version's bundle, else the one its run kept; None where there is neither.

        It is what it is: `Promoter.promote` checks that it is complete and about this very manifest.

        Raises:
            BundleError: it is there, but cannot be read as one.
        """
        found = self._version(strategy, version)
        places = [
            (self._location(strategy, version), f"{BUNDLE_FOLDER}/{DECISION}"),
            (f"runs:/{found.run_id}", DECISION),
        ]
        with self.connection.calling(f"read the decision about {strategy} v{version}"), _temporary() as folder:
            for location, path in places:
                repository = self._repository(location)
                parent = str(Path(path).parent) if "/" in path else None
                if path not in {file.path for file in repository.list_artifacts(parent)}:
                    continue
                content = Path(repository.download_artifacts(path, str(folder))).read_bytes()
                try:
                    return Decision.model_validate_json(content)
                except ValidationError as error:
                    raise BundleError(f"the decision kept with {strategy} v{version} is not one: {error}") from error
        return None

    def fetch_bundle(self, strategy: str, version: int, folder: Path) -> Path:
        """Download a version's bundle into a folder and verify it; the folder appears whole or not at all.

        Args:
            strategy: the registered model's name.
            version: its version.
            folder: must not exist yet or be empty.

        Raises:
            BundleError: a file is missing or altered.
            RegistryError: MLflow could not be reached, or the folder is in use.
        """
        if folder.exists() and any(folder.iterdir()):
            raise RegistryError(f"the folder {folder} is not empty", next_step="name another one")
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as temporary:
            fetched = self._download(strategy, version, Path(temporary))
            verify_files(fetched)
            if folder.exists():
                folder.rmdir()
            fetched.rename(folder)
        return folder

    def verified_manifest(self, strategy: str, version: int) -> Manifest:
        """The manifest of a version whose files were fetched and match their digests.

        Raises:
            BundleError: a file is missing or altered, or the version does not exist.
        """
        with _temporary() as folder:
            return verify_files(self._download(strategy, version, folder))

    def signature(self, strategy: str, version: int) -> bytes | None:
        """The production signature kept beside the version's bundle, None where there is none."""
        return self._signature(strategy, version, SIGNATURE_FILE)

    def shadow_signature(self, strategy: str, version: int) -> bytes | None:
        """The signature for shadow runs, made when the version was registered, None where there is none."""
        return self._signature(strategy, version, SHADOW_FILE)

    def _signature(self, strategy: str, version: int, name: str) -> bytes | None:
        self._version(strategy, version)
        path = f"{SIGNATURE_FOLDER}/{name}"
        with self.connection.calling(f"read the signature of {strategy} v{version}"), _temporary() as folder:
            repository = self._repository(self._location(strategy, version))
            if path not in {file.path for file in repository.list_artifacts(SIGNATURE_FOLDER)}:
                return None
            return Path(repository.download_artifacts(path, str(folder))).read_bytes()

    def attach_signature(self, strategy: str, version: int, signature: bytes) -> None:
        """Keep a production signature of the manifest's digest as `signature/manifest.sig`, beside `bundle/`."""
        model_id = _model_id(self._version(strategy, version))
        with self.connection.calling(f"keep the signature of {strategy} v{version}"), _temporary() as folder:
            path = folder / SIGNATURE_FILE
            path.write_bytes(signature)
            self.connection.client.log_model_artifact(model_id, str(path), SIGNATURE_FOLDER)

    def signed_state(self, strategy: str) -> str | None:
        """The state that was published last, None where there is none or no registered model."""
        model = self._model(strategy)
        return None if model is None else model.tags.get(TAG)

    def keep_signed_state(self, strategy: str, text: str) -> bool:
        """Publish a state as a tag of the registered model; False where there is no such model."""
        if not self._exists(strategy):
            return False
        with self.connection.calling(f"publish the signed state of {strategy}"):
            self.connection.client.set_registered_model_tag(strategy, TAG, text)
        return True

    def show(self, strategy: str, version_tags: dict[int, dict[str, str]], model_tags: dict[str, str]) -> None:
        """Set tags for people; an empty text removes a tag. Versions that no longer exist are passed over."""
        client, model = self.connection.client, self._model(strategy)
        if model is None:
            return
        existing = set(self.versions(strategy))
        with self.connection.calling(f"set tags of {strategy}"):
            for version in sorted(existing & set(version_tags)):
                known = client.get_model_version(strategy, str(version)).tags
                for name, text in version_tags[version].items():
                    if known.get(name) != text:
                        client.set_model_version_tag(strategy, str(version), name, text)
            for name, text in model_tags.items():
                if text and model.tags.get(name) != text:
                    client.set_registered_model_tag(strategy, name, text)
                elif not text and name in model.tags:
                    client.delete_registered_model_tag(strategy, name)

    def prune(self, strategy: str, *, protected: Collection[int], keep: int) -> list[int]:
        """Delete all versions but the newest `keep`, the protected ones and those that an alias names; returns the deleted.

        The model's files go as well. `Promoter.prune` is the way to call it: it knows what the ledger protects.
        """
        model = self._model(strategy)
        if model is None:
            return []
        client, deleted = self.connection.client, []
        aliased = {int(version) for version in model.aliases.values()}
        for version in self.versions(strategy)[keep:]:
            if version in aliased or version in protected:
                continue
            found = self._version(strategy, version)
            with self.connection.calling(f"delete {strategy} v{version}"):
                location = self._location(strategy, version)
                client.delete_model_version(strategy, str(version))
                self._repository(location).delete_artifacts()
                client.delete_logged_model(_model_id(found))
            deleted.append(version)
        return deleted

    def _download(self, strategy: str, version: int, folder: Path) -> Path:
        self._version(strategy, version, missing=BundleError)
        with self.connection.calling(f"fetch {strategy} v{version}"):
            repository = self._repository(self._location(strategy, version))
            names = {Path(file.path).name for file in repository.list_artifacts(BUNDLE_FOLDER)}
            if not names:
                raise BundleError(
                    f"{strategy} v{version} holds no bundle",
                    next_step="see that the artifact store is there; else register it again",
                )
            return Path(repository.download_artifacts(BUNDLE_FOLDER, str(folder)))

    def _location(self, strategy: str, version: int) -> str:
        return str(self.connection.client.get_model_version_download_uri(strategy, str(version)))

    def _repository(self, location: str) -> Any:  # noqa: ANN401
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        return get_artifact_repository(location, tracking_uri=self.connection.uri)

    def _model(self, strategy: str) -> Any:  # noqa: ANN401
        client = self.connection.client
        return self.connection.unless_missing(
            lambda: client.get_registered_model(strategy), f"read the registered model {strategy}"
        )

    def _exists(self, strategy: str) -> bool:
        return self._model(strategy) is not None

    def _version(
        self, strategy: str, version: int, missing: type[RegistryError] | type[BundleError] = RegistryError
    ) -> Any:  # noqa: ANN401
        client = self.connection.client
        found = self.connection.unless_missing(
            lambda: client.get_model_version(strategy, str(version)), f"read {strategy} v{version}"
        )
        if found is None:
            raise missing(f"{strategy} has no v{version} in MLflow", next_step="see `tidegate history`")
        return found


@contextmanager
def _temporary() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="tidegate-") as folder:
        yield Path(folder)


def _model_id(found: Any) -> str:  # noqa: ANN401
    # The version's own model_id stays behind in the server's answer; its source names the same model.
    source = str(found.source)
    if not source.startswith("models:/m-"):
        raise RegistryError(
            f"{found.name} v{found.version} was not registered by tidegate", expected="models:/m-...", actual=source
        )
    return source.removeprefix("models:/")


def _model_note(manifest: Manifest) -> str:
    """What the model's page in MLflow tells people who want to compare versions there, or to go back."""
    name = manifest.strategy
    market = "SIMULATED market, not a real one" if manifest.kind == "simulated" else "Real market"
    return (
        f"**{market}**: {', '.join(manifest.symbols)}, {manifest.interval}.\n\n"
        "- `production` is what bots are served, `previous` is where a rollback goes, `challenger` was registered last and is not promoted.\n"
        "- To compare: tick two versions below, then *Compare*.\n"
        f'- To go back: `tidegate rollback {name} --reason "..."`. An alias that is moved here by hand is verified, and recorded or refused, by '
        f"`tidegate repair {name}`, the next retraining or the next rollback.\n"
        f"- Who changed what, when and why: `tidegate history {name}`.\n"
    )


def _tag_name(symbol: str) -> str:
    return symbol.replace("/", "-").replace(":", "-")
