"""Runs of rows: long stretches in which one thing holds for every row."""

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


def starts_of(mask: Mask) -> Mask:
    """(n,) bool, the rows at which a run of true values begins.

    >>> starts_of(np.array([True, True, False, True])).tolist()
    [True, False, False, True]
    """
    starts = mask.copy()
    starts[1:] &= ~mask[:-1]
    return starts


def long_runs(mask: Mask, starts: Mask, minimum: int) -> tuple[Mask, NDArray[np.intp], NDArray[np.intp]]:
    """The runs of at least `minimum` rows.

    Args:
        mask: (n,) the rows that belong to any run.
        starts: (n,) rows of the mask at which a run begins; a run may begin right behind another.
        minimum: length from which a run counts, in rows.
    Returns:
        members (n,) bool, the rows in such runs; firsts (m,) their first rows; lengths (m,) in rows.
    """
    firsts = np.flatnonzero(starts)
    if not len(firsts):
        return np.zeros_like(mask), firsts, firsts
    run = np.cumsum(starts) - 1
    lengths = np.bincount(run[mask], minlength=len(firsts)).astype(np.intp)
    long = lengths >= minimum
    return mask & long[run], firsts[long], lengths[long]
