"""A bundle as MLflow's model folder: the files as they are under `bundle/`, described by an `MLmodel` file beside them."""

from collections.abc import Sequence
from pathlib import Path

from tidegate.model.bundle import ONNX
from tidegate.model.manifest import Manifest

BUNDLE_FOLDER = "bundle"
SIGNATURE_FOLDER = "signature"
SIGNATURE_FILE, SHADOW_FILE = "manifest.sig", "shadow.sig"
_REQUIRED = ("numpy", "onnxruntime")


def describe_model(manifest: Manifest, feature_names: Sequence[str], model_id: str, run_id: str, folder: Path) -> None:
    """Write `MLmodel` and `requirements.txt` into a folder.

    The ONNX flavour points into `bundle/`, so what `mlflow.onnx.load_model` loads are the promoted bytes themselves. The signature is
    one float32 tensor of (-1, number of features) in, one float32 probability a row out.
    """
    import numpy as np
    from mlflow.models import Model, ModelSignature
    from mlflow.types import Schema, TensorSpec

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
        data=f"{BUNDLE_FOLDER}/{ONNX}",
        onnx_version=manifest.library_versions.get("onnx", "unknown"),
        providers=["CPUExecutionProvider"],
        code=None,
        onnx_session_options=None,
    )
    model.save(str(folder / "MLmodel"))
    pinned = [f"{name}=={manifest.library_versions[name]}" for name in _REQUIRED if name in manifest.library_versions]
    (folder / "requirements.txt").write_text("\n".join(pinned or _REQUIRED) + "\n")
