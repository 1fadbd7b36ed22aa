"""Holds linear algebra to the threads that the settings name."""

import os
from typing import Final

from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

_VARIABLES: Final = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS")


def limit_linear_algebra(threads: int) -> None:
    """Let BLAS use so many threads in this process, from now on.

    How many there are decides in which order a long sum is taken, and so its last bits: without a limit they would depend on the machine. And BLAS waits
    busily for its threads: on a processor that others use as well, a product of two vectors then takes a hundred times as long.

    Args:
        threads: `compute.threads`, which is part of what makes a run repeatable.
    """
    # Libraries that are loaded later, such as SciPy's own BLAS, read the environment.
    os.environ.update(dict.fromkeys(_VARIABLES, str(threads)))
    threadpool_limits(limits=threads, user_api="blas")
