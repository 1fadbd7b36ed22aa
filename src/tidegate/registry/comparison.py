"""Two versions side by side: metrics, parameters, windows, gates."""

from typing import Any

from tidegate.model.manifest import Manifest
from tidegate.registry.tracking import Tracking


def compare(tracking: Tracking, strategy: str, a: int, b: int) -> dict[str, Any]:
    """Compare two versions.

    Returns:
        `versions`, `metrics`, `params`, `windows`, `gates`: each maps a name to the pair of a's and b's value, None where one has none.
        `same_features` and `same_data` say whether feature hash and snapshots are equal.

    Raises:
        BundleError: a bundle does not verify.
        RegistryError: a version does not exist, or MLflow cannot be reached.
    """
    found = [tracking.version(strategy, version) for version in (a, b)]
    manifests = [tracking.verified_manifest(strategy, version) for version in (a, b)]
    decisions = [tracking.decision(strategy, version) for version in (a, b)]
    gates = [
        {
            result.name: {"verdict": str(result.verdict), "observed": result.observed, "threshold": result.threshold}
            for result in (decision.results if decision else ())
        }
        for decision in decisions
    ]
    facts = [
        {"version": one.version, "run_id": one.run_id, "created_at": one.created_at, "aliases": sorted(one.aliases)}
        | {"manifest_digest": manifest.digest()}
        for one, manifest in zip(found, manifests, strict=True)
    ]
    return {
        "strategy": strategy,
        "versions": _pairs(*facts),
        "metrics": _pairs(
            *({**manifest.out_of_sample, **one.metrics} for one, manifest in zip(found, manifests, strict=True))
        ),
        "params": _pairs(*(one.params for one in found)),
        "windows": _pairs(*map(_windows, manifests)),
        "gates": _pairs(*gates),
        "same_features": manifests[0].feature_hash == manifests[1].feature_hash,
        "same_data": manifests[0].snapshots == manifests[1].snapshots,
    }


def _windows(manifest: Manifest) -> dict[str, Any]:
    newest = manifest.windows[-1]
    return {
        "folds": len(manifest.windows),
        "train_start_at": newest.train.start_at,
        "train_end_at": newest.train.end_at,
        "test_start_at": newest.test.start_at,
        "test_end_at": newest.test.end_at,
        "last_seen_at": manifest.last_seen_at,
        "expires_at": manifest.expires_at,
    }


def _pairs(a: dict[str, Any], b: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Both values of each name.

    >>> _pairs({"x": 1}, {"x": 2, "y": 3})
    {'x': (1, 2), 'y': (None, 3)}
    """
    return {name: (a.get(name), b.get(name)) for name in sorted({*a, *b})}
