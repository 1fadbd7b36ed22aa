"""Fuzzes decoding, windows and answering with atheris: `python -m tests.fuzz.predict FOLDER -runs=20000 CORPUS`.

FOLDER holds a service's cache, as `tests.integration.serving.http.real.prepared` makes it. It ends with an error at the first body that is
answered with anything but an answer or a documented problem. Without `-runs` it goes on until it is stopped.
"""

import json
import logging
import sys
from pathlib import Path

import atheris  # type: ignore[import-untyped]

with atheris.instrument_imports(include=["tidegate.serving", "tidegate.bars", "tidegate.validation"]):
    from tests.integration.serving.http.in_process import Served

from tidegate.serving.problems import PROBLEMS


def settings_of(folder: Path) -> dict[str, object]:
    """The settings that `prepared` gave, without training its model again."""
    found: dict[str, object] = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
    return found


def main() -> None:
    folder, *options = sys.argv[1:]
    served = Served(Path(folder), settings_of(Path(folder)))
    logging.disable(logging.WARNING)

    def one(body: bytes) -> None:
        answered = served.predict(body)
        if answered.status != 200 and (answered.slug == "internal" or PROBLEMS[answered.slug][0] != answered.status):
            raise AssertionError(answered)

    # Answers that are never given would mean that nothing behind the parser was reached.
    for seed in sorted(Path(options[-1]).iterdir()):
        assert served.predict(seed.read_bytes()).status == 200, seed
    atheris.Setup([sys.argv[0], *options], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
