"""What the ML Test Score asks beyond the checklist."""

import json
from collections.abc import Mapping
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Final
from xml.etree import ElementTree as ET

from tidegate.bars.bars import iso
from tidegate.checklist.context import DAY_MS, Context
from tidegate.checklist.finding import Finding, NotMeasured, judged
from tidegate.checklist.probe import Probe
from tidegate.checklist.probes.code import HOW, same_commit
from tidegate.checklist.probes.latency import total
from tidegate.gates.result import Verdict
from tidegate.registry.retrains import RetrainLedger
from tidegate.registry.trials import TrialLedger

_RETRAINED_DAYS: Final = 35.0


def gates(context: Context, *, names: tuple[str, ...]) -> Finding:
    """These gates passed on the version that is looked at.

    Args:
        context: what is looked at.
        names: of gates.
    """
    found = context.produced
    results = {name: found.gate(name) for name in names}
    told = ", ".join(f"{name} {'not on record' if one is None else one.verdict.value}" for name, one in results.items())
    verdicts = {None if one is None else one.verdict for one in results.values()}
    if Verdict.NOT_ENOUGH_EVIDENCE in verdicts and verdicts <= {Verdict.NOT_ENOUGH_EVIDENCE, Verdict.PASS}:
        raise NotMeasured(f"v{found.version}: {told}")
    return judged(verdicts == {Verdict.PASS}, f"v{found.version}: {told}", context.link(found.version))


def features_used(context: Context) -> Finding:
    """The model draws on every feature that it is given."""
    found = context.produced
    idle = [one.name for one in found.manifest.features if not found.manifest.importance.get(one.name, 0.0) > 0]
    told = (
        f"v{found.version}: {len(found.manifest.features)} features, without any gain: {', '.join(idle[:5]) or 'none'}"
    )
    return judged(not idle and bool(found.manifest.features), told, context.link(found.version))


def tests_of(context: Context, *, modules: tuple[str, ...]) -> Finding:
    """The last run of the tests was on this very commit and held tests of these folders, and none failed.

    Args:
        context: what is looked at.
        modules: beginnings of the names of test modules.
    """
    path = context.recorded("tests.xml", HOW)
    record = ET.parse(path).getroot()  # noqa: S314  written by our own `make test`
    evidence, is_this = same_commit(context, list(record.iter("testsuite")))
    cases = [one for one in record.iter("testcase") if one.get("classname", "").startswith(modules)]
    bad = [one.get("name", "?") for one in cases if one.find("failure") is not None or one.find("error") is not None]
    ran = [one for one in cases if one.find("skipped") is None]
    told = f"{len(ran)} tests of {', '.join(modules)} ran, failed: {', '.join(bad[:3]) or 'none'}, {evidence}"
    return judged(bool(ran) and not bad and is_this, told, str(path))


def spec_in_git(context: Context) -> Finding:
    """The strategy's file is tracked by git, and is what was committed."""
    path = str(context.settings.paths.strategies / f"{context.strategy.name}.yaml")
    tracked = context.programs.run("git", "ls-files", "--error-unmatch", path)
    changed = context.programs.run("git", "diff", "--quiet", "HEAD", "--", path)
    told = f"{path} is {'tracked' if tracked.code == 0 else 'NOT tracked'}, {'as committed' if changed.code == 0 else 'CHANGED since the last commit'}"
    return judged(tracked.code == 0 and changed.code == 0, told, path)


def tuned(context: Context) -> Finding:
    """Parameters were searched: the newest retrain tried more than one set of them; folds and months of the same set are no search."""
    trials = TrialLedger(context.ledger.database).trials(context.strategy.name)
    newest = [one for one in trials if one.retrain_key == trials[-1].retrain_key]
    sets = {json.dumps(dict(one.parameters), sort_keys=True, default=str) for one in newest}
    told = (
        f"{newest[-1].retrain_key}: {len(newest)} trials of {len(sets)} sets of parameters" if newest else "no trials"
    )
    return judged(len(sets) > 1, f"{told} are on record")


def gated(context: Context) -> Finding:
    """The gates let the version through, and judged these very bytes."""
    found = context.produced
    decision = found.decision
    same = decision is not None and decision.manifest_digest == found.manifest.digest()
    told = "no decision is on record" if decision is None else decision.summary[:200]
    return judged(
        decision is not None and decision.promote and same, f"v{found.version}: {told}", context.link(found.version)
    )


def shadow(context: Context) -> Finding:
    """A challenger predicts beside production before it is promoted."""
    asked = sum(
        total(service.metrics, "tidegate_predictions_total", strategy=context.strategy.name, role="shadow")
        for service in context.services
    )
    told = f"{asked:.0f} predictions of a challenger since the processes' starts; serving.shadow is {context.settings.serving.shadow}"
    if asked == 0 and context.settings.serving.shadow:
        raise NotMeasured(f"{told}: there is no challenger now")
    return judged(asked > 0, told, context.service.address)


def dependencies(context: Context) -> Finding:
    """What is installed is what the version was trained with."""
    found = context.produced
    differ = []
    for name, trained in sorted(found.manifest.library_versions.items()):
        try:
            installed = version(name)
        except PackageNotFoundError:
            installed = "not installed"
        if installed != trained:
            differ.append(f"{name} {trained}, now {installed}")
    return judged(
        not differ,
        f"v{found.version}: {len(found.manifest.library_versions)} libraries, different: {'; '.join(differ) or 'none'}",
        context.link(found.version),
    )


def fresh(context: Context) -> Finding:
    """The model has not expired, and is not older than a month and a few days. A simulated market has no today but that of its newest retrain."""
    found = context.produced
    runs = (
        RetrainLedger(context.ledger.database).runs(context.strategy.name) if found.manifest.kind == "simulated" else []
    )
    # That market's time is not the clock's, by which a manifest says when it was written.
    today, made = (runs[-1].as_of, found.manifest.windows[-1].test.end_at) if runs else (context.now_ms, found.manifest.created_at)  # fmt: skip
    age = (today - made) / DAY_MS
    told = f"v{found.version} was {'tested until' if runs else 'made'} {age:.1f} days before {iso(today)[:10]} and expires {iso(found.manifest.expires_at)[:10]}"
    return judged(today < found.manifest.expires_at and -1 <= age <= _RETRAINED_DAYS, told, context.link(found.version))


def finite(context: Context) -> Finding:
    """No live answer was withheld because a feature was not a number, and none failed."""
    name = context.strategy.name
    withheld = sum(
        total(one.metrics, "tidegate_abstentions_total", strategy=name, reason="features_not_finite")
        for one in context.services
    )
    broken = sum(
        total(one.metrics, "tidegate_prediction_outcomes_total", strategy=name, outcome="failed")
        for one in context.services
    )
    asked = sum(total(one.metrics, "tidegate_predictions_total", strategy=name) for one in context.services)
    if not asked:
        raise NotMeasured("no process has answered a prediction yet")
    return judged(
        not withheld and not broken,
        f"{asked:.0f} predictions, {withheld:.0f} with features that are no numbers, {broken:.0f} failed",
        context.service.address,
    )


PROBES: Final[Mapping[str, Probe]] = {
    "score.schema": partial(gates, names=("validation_passed",)),
    "score.features_used": features_used,
    "score.tests_features": partial(tests_of, modules=("tests.unit.features", "tests.property.features")),
    "score.tests_model": partial(tests_of, modules=("tests.unit.model",)),
    "score.tests_pipeline": partial(tests_of, modules=("tests.integration.pipeline", "tests.e2e")),
    "score.spec_in_git": spec_in_git,
    "score.tuned": tuned,
    "score.baselines": partial(gates, names=("random_entries", "permuted_labels")),
    "score.reproducible": partial(gates, names=("reproducible",)),
    "score.parity": partial(gates, names=("onnx_parity", "serving_parity")),
    "score.gated": gated,
    "score.shadow": shadow,
    "score.dependencies": dependencies,
    "score.fresh": fresh,
    "score.finite": finite,
}
