"""A bundle as MLflow's model folder: the files as they are under `bundle/`, described by an `MLmodel` file beside them."""

import hashlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from pydantic import ValidationError

from tidegate.errors import BundleError
from tidegate.model.manifest import Manifest

BUNDLE_FOLDER = "bundle"
SIGNATURE_FILE = "manifest.sig"
_REQUIRED = ("numpy", "onnxruntime")


def verify_bundle(folder: Path) -> Manifest:
    """Read the manifest and check the SHA-256 of each file that it names.

    Raises:
        BundleError: the manifest is missing or not canonical, or a file is missing or altered.
    """
    try:
        content = (folder / "manifest.json").read_bytes()
        manifest = Manifest.model_validate_json(content)
    except (OSError, ValidationError) as error:
        raise BundleError(f"the bundle in {folder} has no readable manifest: {error}") from error
    if content != manifest.to_bytes():
        raise BundleError(f"the manifest in {folder} is not written canonically", next_step="fetch the bundle again")
    if not manifest.files:
        raise BundleError(f"the manifest in {folder} names no files")
    for name, expected in manifest.files.items():
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts:
            raise BundleError(f"the manifest in {folder} names a file outside the bundle", actual=name)
        try:
            actual = hashlib.sha256((folder / path).read_bytes()).hexdigest()
        except OSError as error:
            raise BundleError(f"the bundle's file {name} cannot be read: {error}") from error
        if actual != expected:
            raise BundleError(f"the bundle's file {name} was altered", expected=expected, actual=actual)
    return manifest


def describe_model(manifest: Manifest, feature_names: Sequence[str], model_id: str, run_id: str, folder: Path) -> None:
    """Write `MLmodel` and `requirements.txt` into a folder.

    The ONNX flavour points into `bundle/`, so what `mlflow.onnx.load_model` loads are the promoted bytes themselves. The signature is
    one float32 tensor of (-1, number of features) in, one float32 probability a row out.
    """
    import numpy as np
    from mlflow.models import Model, ModelSignature
    from mlflow.types import Schema, TensorSpec

    onnx_files = [name for name in manifest.files if name.endswith(".onnx")]
    if len(onnx_files) != 1:
        raise BundleError("a bundle holds one ONNX model", actual=", ".join(sorted(manifest.files)))
    single = np.dtype(np.float32)
    signature = ModelSignature(
        inputs=Schema([TensorSpec(single, (-1, len(feature_names)))]), outputs=Schema([TensorSpec(single, (-1,))])
    )
    model = Model(
        run_id=run_id,
        model_id=model_id,
        signature=signature,
        metadata={"features": list(feature_names), "manifest_digest": manifest.digest(), "kind": manifest.kind},
    )
    model.add_flavor(
        "onnx",
        data=f"{BUNDLE_FOLDER}/{onnx_files[0]}",
        onnx_version=manifest.library_versions.get("onnx", "unknown"),
        providers=["CPUExecutionProvider"],
        code=None,
        onnx_session_options=None,
    )
    model.save(str(folder / "MLmodel"))
    pinned = [f"{name}=={manifest.library_versions[name]}" for name in _REQUIRED if name in manifest.library_versions]
    (folder / "requirements.txt").write_text("\n".join(pinned or _REQUIRED) + "\n")
