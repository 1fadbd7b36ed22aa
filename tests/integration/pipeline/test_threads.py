"""Linear algebra has the threads that the settings name, in libraries that are loaded before and after."""

import json
import subprocess
import sys

PROGRAM = """
import json
import numpy
from threadpoolctl import threadpool_info
from tidegate.pipeline.threads import limit_linear_algebra

limit_linear_algebra({threads})
import scipy.linalg
scipy.linalg.inv(numpy.eye(3))
print(json.dumps([(each["filepath"], each["num_threads"]) for each in threadpool_info() if each["user_api"] == "blas"]))
"""


def test_blas_has_the_threads_of_the_settings() -> None:
    for threads in (1, 2):
        told = subprocess.run(
            [sys.executable, "-c", PROGRAM.format(threads=threads)], check=True, capture_output=True, text=True
        ).stdout
        found = json.loads(told)
        assert len(found) >= 2, "NumPy's and SciPy's own"
        assert {count for _, count in found} == {threads}
