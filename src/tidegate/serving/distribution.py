"""How unlike the training rows a row of features is."""

import numpy as np

from tidegate.bars.bars import Floats
from tidegate.model.manifest import Manifest


class TrainingRange:
    """The range of each feature over the training rows.

    Args:
        manifest: its `reference` names quantiles by feature; a feature without one counts as never outside.
    """

    def __init__(self, manifest: Manifest) -> None:
        names = [spec.name for spec in manifest.features]
        ends = [manifest.reference.get(name) for name in names]
        self._low: Floats = np.array([end.values[0] if end else -np.inf for end in ends])
        self._high: Floats = np.array([end.values[-1] if end else np.inf for end in ends])

    def share_outside(self, features: Floats) -> float:
        """Share of the features (F,) that lie below or above everything seen in training, 0..1."""
        outside = np.count_nonzero(features < self._low) + np.count_nonzero(features > self._high)
        return int(outside) / len(features)
