"""Secrets, documented variables, production's own settings, access logs."""

import re
import secrets as chance
import stat
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from tidegate.checklist.context import Context
from tidegate.checklist.finding import Finding, NotMeasured, failed, judged
from tidegate.checklist.probe import Probe
from tidegate.errors import ConfigurationError
from tidegate.settings.loading import describe, read_yaml
from tidegate.settings.reference import reference
from tidegate.settings.serving import Serving, refuse_open
from tidegate.settings.settings import Settings, Validation, refuse_loosened

_PATTERNS: Final = re.compile(
    rb"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----\s+[A-Za-z0-9+/=]{16}"
    rb"|\bAKIA[0-9A-Z]{16}\b"
    rb"|\bgh[pousr]_[A-Za-z0-9]{36}\b"
    rb"|\bxox[abprs]-[0-9A-Za-z-]{20,}"
    rb"|\btg_[a-z0-9-]{1,32}_[A-Za-z0-9_-]{43}\b"
    rb"|(?i:(?:password|passwd|secret|token|(?:api|access|private)[_-]?key)\b[\"']?\s*[:=]\s*[\"'][A-Za-z0-9+/=_-]{20,}[\"'])"
    # Without quotes, as files of settings and of variables have it: only what is no plain word.
    rb"|(?im:^[ \t]*(?:-[ \t]+|export[ \t]+)?[\w.-]*(?:password|passwd|secret|token|(?:api|access|private)[_-]?key)[ \t]*[:=][ \t]*"
    rb"(?=[^\s\d]*\d)(?=[^\sA-Za-z]*[A-Za-z])[A-Za-z0-9+/=_-]{20,}[ \t]*$)"
)
_MADE_UP: Final = ("tests/", "clients/conformance/")
"""Folders whose files hold keys that open nothing, which tests need."""


def secrets(context: Context) -> Finding:
    """No tracked file holds what looks like a secret, and nobody but their owner reads the keys' files."""
    tracked = context.programs.run("git", "ls-files", "-z")
    if tracked.code:
        raise NotMeasured("the project's folder is no git checkout")
    names = [name for name in tracked.out.split("\0") if name and not name.startswith(_MADE_UP)]
    if not names:
        raise NotMeasured("git tracks no file here yet")
    found = [name for name in names if _holds_secret(context.root / name)]
    private = [path for path in _private(context.settings) if path.is_file()]
    open_ones = [str(path) for path in private if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)]
    evidence = (
        f"{len(names)} tracked files beside the tests, {len(found)} hold what looks like a secret{': ' + ', '.join(found[:3]) if found else ''}; "
        f"{len(private)} files of keys and passwords, open to others: {', '.join(open_ones) or 'none'}"
    )
    return judged(not found and not open_ones, evidence)


def _holds_secret(path: Path) -> bool:
    return path.is_file() and _PATTERNS.search(path.read_bytes()) is not None


def _private(settings: Settings) -> list[Path]:
    given = (
        settings.signing.private_key_file, settings.serving.registry_password_file, settings.serving.registry_token_file,
        settings.serving.tls_key_file, settings.watch.api_key_file, settings.checklist.api_key_file, settings.notify.webhook_secret_file,
        settings.notify.smtp_password_file, settings.backup.password_file, settings.backup.environment_file,
        settings.backup.keys_password_file, settings.backup.keys_environment_file,
    )  # fmt: skip
    return [path for path in given if path is not None]


def documented(context: Context) -> Finding:
    """The page of all settings and their variables is what the program would write."""
    page = context.text("docs/settings.md")
    expected = reference()
    missing = [line.split("`")[3] for line in expected.splitlines() if line.startswith("| `") and line not in page]
    evidence = f"docs/settings.md: {expected.count('TIDEGATE_')} variables, {len(missing)} missing or changed{': ' + missing[0] if missing else ''}"
    return judged(page == expected, evidence, "docs/settings.md")


def production_config(context: Context) -> Finding:
    """Production has a file of its own, which differs from development's and loosens no safety."""
    paths = {name: context.root / "configs" / f"{name}.yaml" for name in ("production", "development")}
    absent = [str(path) for path in paths.values() if not path.is_file()]
    if absent:
        return failed(f"missing: {', '.join(absent)}")
    base = (
        read_yaml(context.root / "configs" / "base.yaml") if (context.root / "configs" / "base.yaml").is_file() else {}
    )
    production, development = read_yaml(paths["production"]), read_yaml(paths["development"])
    try:
        refuse_loosened(Validation.model_validate({**base.get("validation", {}), **production.get("validation", {})}))
        refuse_open(Serving.model_validate({**base.get("serving", {}), **production.get("serving", {})}))
    except ValidationError as error:
        return failed(f"configs/production.yaml is wrong: {describe(error)}")
    except (ValueError, ConfigurationError) as error:
        return failed(f"configs/production.yaml loosens safety: {error}")
    differ = sorted(
        key for key in production.keys() | development.keys() if production.get(key) != development.get(key)
    )
    running = context.settings.environment
    return judged(
        bool(differ),
        f"configs/production.yaml and development.yaml differ in {', '.join(differ) or 'nothing'}; running: {running}",
        "configs/production.yaml",
    )


def access_logs(context: Context) -> Finding:
    """A request of this probe stands in the access log a moment later."""
    path = context.settings.checklist.access_log
    if path is None:
        raise NotMeasured("the access log goes to standard output: keep it in a file and set checklist.access_log")
    name = f"checklist-{chance.token_hex(6)}"
    context.service.ask("/healthz", headers={"X-Request-Id": name}, with_key=False)
    ends_at = time.monotonic() + context.settings.checklist.timeout_s
    while time.monotonic() < ends_at:
        lines = [line for line in path.read_bytes()[-200_000:].splitlines() if name.encode() in line]
        if lines:
            return judged(
                b'"route":"/healthz"' in lines[0].replace(b" ", b""),
                f"request {name}: {lines[0].decode(errors='replace')[:200]}",
                str(path),
            )
        time.sleep(0.05)
    return failed(f"request {name} does not stand in {path}")


PROBES: Final[Mapping[str, Probe]] = {
    "environment.secrets": secrets,
    "environment.documented": documented,
    "environment.production_config": production_config,
    "environment.access_logs": access_logs,
}
