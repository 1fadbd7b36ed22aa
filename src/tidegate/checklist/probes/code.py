"""The last run of the tests, security lint, the API's description, and the processes' logs."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

import tidegate
from tidegate.bars.bars import iso
from tidegate.checklist.context import Context
from tidegate.checklist.finding import Finding, NotMeasured, failed, judged
from tidegate.checklist.probe import Probe
from tidegate.errors import ServiceError

HOW: Final = "run `make test` on the commit that is to be deployed"
_FRESH_MS: Final = 86_400_000
_TAIL: Final = 200


def tests(context: Context) -> Finding:
    """The last run of the tests was on this very commit, and all passed."""
    path = context.recorded("tests.xml", HOW)
    try:
        suites = list(ET.parse(path).getroot().iter("testsuite"))  # noqa: S314  written by our own `make test`
    except ET.ParseError as error:
        raise ServiceError(f"the record {path} is no JUnit XML", actual=str(error), next_step=HOW) from error
    counted = {
        name: sum(int(one.get(name, 0)) for one in suites) for name in ("tests", "failures", "errors", "skipped")
    }
    evidence, is_this = same_commit(context, suites)
    told = ", ".join(f"{count} {name}" for name, count in counted.items())
    good = counted["tests"] > counted["skipped"] and not counted["failures"] and not counted["errors"]
    return judged(good and is_this, f"{told}, {evidence}", str(path))


def same_commit(context: Context, suites: list[ET.Element]) -> tuple[str, bool]:
    """Which commit a record is of, in words, and whether it is the checkout's, as it was committed.

    Raises:
        NotMeasured: the folder is no git checkout.
    """
    commit = next((one.get("name", "") for one in suites), "")
    done = context.programs.run("git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    if done.code:
        raise NotMeasured("the project's folder is no git checkout, so nobody knows which commit was tested")
    head = done.out.strip()
    told = f"of commit {commit or 'unknown'}; the checkout is at {head}"
    return told, commit == head and not head.endswith("-dirty")


def security(context: Context) -> Finding:
    """Ruff's security rules find nothing in the program, the flows and the project's own modules."""
    own = [context.root / name for name in ("flows", "src") if (context.root / name).is_dir()]
    own += sorted(context.root.glob("*.py"))
    program = Path(tidegate.__file__).parent
    # An installed program lies elsewhere than the project that uses it.
    own += [] if any(program.is_relative_to(one.resolve()) for one in own) else [program]
    places = list(map(str, own))
    done = context.programs.run(
        "ruff",
        "check",
        "--no-cache",
        "--isolated",
        "--select",
        "S",
        "--ignore",
        "S101",
        "--output-format",
        "json",
        *places,
    )
    if done.code not in {0, 1}:
        raise ServiceError("ruff could not look", actual=done.told)
    found = json.loads(done.out)
    first = "" if not found else f"; first: {found[0]['code']} in {found[0]['filename']}:{found[0]['location']['row']}"
    return judged(
        not found, f"ruff check --select S --ignore S101: {len(found)} findings in {', '.join(places)}{first}"
    )


def api_docs(context: Context) -> Finding:
    """The running service's OpenAPI document is the one that is documented."""
    service = context.service
    reply = service.ask("/openapi.json", with_key=False)
    if reply.status == 404:
        raise NotMeasured("the service does not serve its description: serving.docs is off")
    path = "docs/contracts/openapi.json"
    written = json.loads(context.text(path))
    same = reply.status == 200 and reply.json() == written
    evidence = (
        f"{service.address}/openapi.json has {len(reply.body)} bytes and is {'the same as' if same else 'NOT'} {path}"
    )
    return judged(same, evidence, path)


def logging(context: Context) -> Finding:
    """Each process's newest log file holds JSON lines with time and level, and the newest line is of the last day."""
    files = log_files(context)
    times = [time for path in files for time in _times(path)]
    link = str(files[0].parent)
    if None in times or not times:
        return failed(f"not every line of {', '.join(path.name for path in files)} is JSON with `at` and `level`", link)
    newest = max(time for time in times if time is not None)
    evidence = f"{len(times)} JSON lines in {len(files)} files, the newest of {iso(newest)}, level {context.settings.logs.level}"
    return judged(-60_000 <= context.now_ms - newest <= _FRESH_MS, evidence, link)


def _times(path: Path) -> list[int | None]:
    """Times of a file's last lines, None for one that is no line of a log; a last line without its end is still being written."""
    text = path.read_text(encoding="utf-8", errors="replace")
    whole = text.splitlines() if text.endswith("\n") else text.splitlines()[:-1]
    return [_time_of(line) for line in whole[-_TAIL:]]


def log_files(context: Context) -> list[Path]:
    """Files of the processes' logs.

    Raises:
        NotMeasured: none is set, or there is none.
    """
    pattern = context.settings.logs.file
    if pattern is None:
        raise NotMeasured("the processes' logs go to standard error only: set logs.file")
    files = sorted(pattern.parent.glob(f"{pattern.stem.replace('{process}', '*')}-*{pattern.suffix}"))
    if not files:
        raise NotMeasured(f"no process has written a log yet: {pattern}")
    return files


def _time_of(line: str) -> int | None:
    try:
        told = json.loads(line)
    except ValueError:
        return None
    at = told.get("at") if isinstance(told, dict) else None
    return at if isinstance(at, int) and "level" in told else None


PROBES: Final[Mapping[str, Probe]] = {
    "code.tests": tests,
    "code.security": security,
    "code.api_docs": api_docs,
    "code.logging": logging,
}
