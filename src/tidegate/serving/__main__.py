"""`python -m tidegate.serving`: the service from its settings; with `--check`, whether it answers (exit code 0 or 1).

Settings come from the environment (`TIDEGATE_SERVING__STRATEGIES=...`) and from `configs/`, if that folder exists.
"""

import argparse
import json
import os
import sys
import traceback
from pathlib import Path

from tidegate.errors import TidegateError
from tidegate.settings.loading import load_settings


def main(arguments: list[str] | None = None) -> int:
    """Run, and give the exit code: that of the error that ended it, 0 after a stop by a signal."""
    parser = argparse.ArgumentParser(prog="python -m tidegate.serving", description=__doc__)
    parser.add_argument("--check", action="store_true", help="ask the running service whether it answers")
    check = parser.parse_args(arguments).check
    try:
        if check:
            return _check()
        _serve()
    except TidegateError as error:
        _tell(error.code, str(error))
        return error.exit_code
    except Exception as error:  # noqa: BLE001  the border: nothing else may end in a bare traceback
        _tell("error", f"unexpected {type(error).__name__}", traceback.format_exc())
        return TidegateError.exit_code
    return 0


def _check() -> int:
    from tidegate.serving.http.liveness import answers

    return 0 if answers(load_settings().serving) else 1


def _serve() -> None:
    from tidegate.serving.http.process_log import log_to_stderr
    from tidegate.serving.http.server import run
    from tidegate.serving.service import Service

    log_to_stderr()
    # Own features are named `module:function`; modules in the project's folder are found from here on, as on the command line.
    root = str(Path(os.environ.get("TIDEGATE_ROOT", ".")).resolve())
    if root not in sys.path:
        sys.path.insert(0, root)
    run(load_settings(), Service)


def _tell(code: str, message: str, trace: str | None = None) -> None:
    line = {"level": "error", "code": code, "message": message}
    sys.stderr.write(json.dumps(line if trace is None else {**line, "traceback": trace}) + "\n")


if __name__ == "__main__":
    sys.exit(main())
