"""The model's files: who may write them, versions, the way back, and that none is in git."""

import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from tidegate.checklist.context import Context
from tidegate.checklist.finding import Finding, NotMeasured, judged
from tidegate.checklist.probe import Probe
from tidegate.errors import TidegateError

_MODEL: Final = re.compile(r"\.(onnx|ubj|pkl|pickle|joblib|pt|pth|h5|keras|bin|safetensors|model)$")
_WRITABLE: Final = stat.S_IWGRP | stat.S_IWOTH
_SAMPLES: Final = (
    "mlruns/artifacts/1/model.onnx",
    "data/model.onnx",
    "runs/one/model.ubj",
    "model.onnx",
    "secrets/private.key",
)


def files(context: Context) -> Finding:
    """Nobody but their owner may write the models' files and folders, and the version in production is what was registered."""
    found = context.produced
    places = [context.settings.paths.mlruns / "artifacts", context.settings.serving.cache]
    looked = [path for place in places if place.is_dir() for path in _models(place)]
    if not looked:
        raise NotMeasured(f"no model file lies in {' or '.join(map(str, places))}: run this where they are")
    ours = {
        one for path in looked for one in (path, *path.parents) if any(one.is_relative_to(place) for place in places)
    }
    open_ones = sorted(str(one) for one in ours if one.stat().st_mode & _WRITABLE)
    told = f"{len(looked)} model files, {len(open_ones)} of them or their folders may be written by others than their owner"
    first = f" ({open_ones[0]})" if open_ones else ""
    return judged(not open_ones, f"{told}{first}; v{found.version} verifies against its digests", str(places[0]))


def _models(place: Path) -> Iterator[Path]:
    return (
        path
        for path in place.rglob("*")
        if path.is_file() and (_MODEL.search(path.name) or path.name == "manifest.json")
    )


def versioning(context: Context) -> Finding:
    """What is in production has a number, and the digest that the promotion ledger names; the ledger's chain is whole."""
    found, state = context.produced, context.state
    context.ledger.verify()
    named = state.digests.get(found.version)
    evidence = f"v{found.version} with digest {found.manifest.digest()[:12]}, the ledger names {str(named)[:12]}; its chain is whole"
    return judged(named == found.manifest.digest(), evidence, context.link(found.version))


def rollback_plan(context: Context) -> Finding:
    """There is an earlier good version to go back to, and it verifies."""
    state = context.state
    good = state.good_versions(without=(state.current,))
    if not good and len(state.productions) < 2:
        raise NotMeasured("no earlier version was in production yet: a rollback would halt the strategy")
    broken = []
    for version in good:
        try:
            context.versions.verified_manifest(context.strategy.name, version)
        except TidegateError as error:
            broken.append(f"v{version}: {error.what}")
            continue
        return judged(
            True,
            f"v{version} verifies, and is where a rollback goes; passed over: {'; '.join(broken) or 'none'}",
            context.link(version),
        )
    return judged(
        False,
        f"no earlier version may be gone back to: {'; '.join(broken) or 'all are barred or were left'}",
        context.link(),
    )


def not_in_git(context: Context) -> Finding:
    """Git tracks no model, and ignores where models are made."""
    tracked = context.programs.run("git", "ls-files")
    if tracked.code:
        raise NotMeasured("the project's folder is no git checkout")
    models = [line for line in tracked.out.splitlines() if _MODEL.search(line)]
    ignored = context.programs.run("git", "check-ignore", "--no-index", *_SAMPLES).out.splitlines()
    not_ignored = sorted(set(_SAMPLES) - set(ignored))
    evidence = f"{len(tracked.out.splitlines())} tracked files, {len(models)} models{': ' + models[0] if models else ''}; not ignored: {', '.join(not_ignored) or 'none'}"
    return judged(not models and not not_ignored, evidence, ".gitignore")


PROBES: Final[Mapping[str, Probe]] = {
    "model.files": files,
    "model.versioning": versioning,
    "model.rollback_plan": rollback_plan,
    "model.not_in_git": not_in_git,
}
