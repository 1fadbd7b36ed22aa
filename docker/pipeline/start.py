"""Puts secrets into a program's environment and becomes that program: `start.py PROGRAM ARGUMENT...`.

In values of the environment `{secret:NAME}` stands for the content of the file NAME in /run/secrets, without white space around it. So no secret stands in a
compose file, in a command line, or in what `docker inspect` shows.
"""

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

FOLDER = Path("/run/secrets")
PLACE = re.compile(r"\{secret:([A-Za-z0-9._-]+)\}")


def filled(environment: Mapping[str, str], folder: Path = FOLDER) -> dict[str, str]:
    """The environment with each place filled.

    Args:
        environment: name to value.
        folder: of the secrets.

    Raises:
        SystemExit: a file is missing, cannot be read or is empty.
    """
    return {name: _filled(name, value, folder) for name, value in environment.items()}


def _filled(name: str, value: str, folder: Path) -> str:
    return PLACE.sub(lambda found: _secret(folder, found[1], name), value)


def _secret(folder: Path, file: str, variable: str) -> str:
    try:
        content = (folder / file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SystemExit(f"{variable}: the secret {file} cannot be read: {type(error).__name__}") from error
    if not content:
        raise SystemExit(f"{variable}: the secret {file} is empty")
    return content


def main() -> None:
    """Never returns: the program takes this process's place, so that signals reach it."""
    program, environment = sys.argv[1:], filled(os.environ)
    if not program:
        raise SystemExit("start.py PROGRAM ARGUMENT...")
    os.execvpe(program[0], program, environment)


if __name__ == "__main__":
    main()
