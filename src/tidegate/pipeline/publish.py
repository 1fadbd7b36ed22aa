"""The registry's side of a retraining: run, version, trials, promotion, report."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tidegate.backtest.metrics import METRICS, summarise
from tidegate.bars.bars import iso
from tidegate.errors import BundleError, PromotionRefused, TidegateError
from tidegate.gates.result import Decision
from tidegate.keys.signing import shadow_message
from tidegate.model.bundle import load_bundle
from tidegate.pipeline.contest import Champion
from tidegate.pipeline.data import Gathered, Prepared
from tidegate.pipeline.files import write_out_of_sample, write_signals, write_trial
from tidegate.pipeline.fold import Fold
from tidegate.pipeline.job import Job, describe_job
from tidegate.pipeline.judge import Judged
from tidegate.pipeline.looking import look_key, reserve_look
from tidegate.pipeline.outcome import verdict_words
from tidegate.pipeline.trials import trial_id
from tidegate.registry.events import EventLedger
from tidegate.registry.looks import LookLedger
from tidegate.registry.opening import open_promoter, open_signer
from tidegate.registry.repair import repair
from tidegate.registry.tracking.runs import TrackedRun
from tidegate.registry.tracking.versions import Tracking
from tidegate.registry.trials import HoldoutRead, TrialLedger
from tidegate.registry.trials import Trial as TrialRow
from tidegate.report.formats import NBSP, quantity
from tidegate.report.markdown import markdown_summary
from tidegate.report.page import write_report
from tidegate.report.record import FoldRecord, PromotionRecord, RunRecord
from tidegate.rollback.maintenance import Window, active
from tidegate.strategy.strategy import slug

_HEADLINE = frozenset({"sharpe", "max_drawdown", "win_rate", "trades"})
_CURVES = frozenset({"sharpe", "win_rate", "total_return", "max_drawdown", "trades"})


@dataclass(frozen=True, slots=True)
class Registered:
    """A run and a version in MLflow."""

    version: int
    run_id: str
    experiment_id: str


@dataclass(frozen=True, slots=True, eq=False)
class Retrained:
    """The outcome of one retraining."""

    record: RunRecord
    report: Path
    markdown: str


class ReportFailed(TidegateError):
    """A retraining came to its outcome, and its report could not be made."""

    code = "report"


@contextmanager
def reporting(job: Job, registered: Registered, promotion: PromotionRecord) -> Iterator[None]:
    """Tell a fault of the report as what it is: the outcome stands, and is on record already.

    Raises:
        ReportFailed: whatever went wrong inside.
    """
    try:
        yield
    except Exception as error:
        before = f"v{promotion.previous_version}" if promotion.previous_version else "no model"
        stands = {
            "promoted": f"v{registered.version} was promoted over {before}",
            "refused": f"v{registered.version} was refused, {before} stays",
        }
        raise ReportFailed(
            f"the report of {job.key} could not be made: {error}; {stands[promotion.outcome]}",
            expected=f"{job.folder / 'report.html'}",
            next_step=f"nothing has to be undone: the run {registered.run_id} in MLflow holds metrics, gates and files; correct the cause "
            "before the next retrain",
        ) from error


def champion_of(job: Job) -> Champion | None:
    """The model in production, after open intents were finished or undone; None if there is none.

    Raises:
        RegistryError: MLflow or the ledger cannot be reached.
        BundleError: the champion's bundle does not verify, or is not the one that the ledger promoted.
    """
    tracking = Tracking(job.settings)
    promoter = open_promoter(job.settings, tracking)
    repair(promoter, job.strategy.name)
    state = promoter.ledger.state(job.strategy.name)
    version = state.current
    if version is None:
        return None
    bundle = load_bundle(tracking.fetch_bundle(job.strategy.name, version, job.folder / "champion"))
    # A contest against another model than the one that trades would be an easy one.
    if bundle.digest != state.digests.get(version):
        raise BundleError(
            f"{job.strategy.name} v{version} in MLflow is not what the ledger promoted",
            expected=state.digests.get(version),
            actual=bundle.digest,
            next_step="find out who changed it; roll back, or restore the artifacts from a backup",
        )
    return Champion(version, bundle)


def record_run(job: Job, gathered: Gathered, folds: tuple[Fold, ...], judged: Judged) -> Registered:
    """Write the run's files and ledgers, log the run to MLflow, and register the bundle as the challenger.

    Raises:
        RegistryError: MLflow or the ledger cannot be reached; a rerun of the same month goes on from the cached folds.
    """
    with job.watch.stage("record"):
        write_out_of_sample(job.folder / "out_of_sample", {"challenger": judged.pooled})
        write_signals(job.folder / "out_of_sample", folds)
        if judged.contest.challenger is not None and judged.contest.champion is not None:
            contest = {"challenger": judged.contest.challenger, "champion": judged.contest.champion}
            write_out_of_sample(job.folder / "contest", contest)
        _record_trials(job, folds)
        return _log(job, gathered, folds, judged)


def promote(job: Job, judged: Judged, registered: Registered, champion: Champion | None) -> PromotionRecord:
    """Ask the registry to promote what the gates let through. A refusal is an outcome here, not an error.

    A maintenance window freezes this, since nobody but the gates decides here. A person still promotes by `tidegate promote`, which asks no window.

    Raises:
        RegistryError: MLflow or the ledger cannot be reached.
    """
    with job.watch.stage("promotion"):
        before = champion.version if champion else None
        promoter = open_promoter(job.settings)
        repair(promoter, job.strategy.name)
        if not judged.decision.promote:
            return PromotionRecord("refused", registered.version, before, judged.decision.summary)
        database = promoter.ledger.database
        window = active(EventLedger(database), job.strategy.name, database.clock())
        if window is not None:
            return PromotionRecord("refused", registered.version, before, _frozen(job, registered, window))
        try:
            outcome = promoter.promote(
                job.strategy.name,
                registered.version,
                judged.decision,
                actor=job.actor,
                reason=f"retrain {describe_job(job)}: {judged.decision.summary}",
                champion=before,
            )
        except PromotionRefused as refusal:
            return PromotionRecord("refused", registered.version, before, str(refusal))
        promoter.prune(job.strategy.name)
        return PromotionRecord("promoted", registered.version, before, outcome.message)


def _frozen(job: Job, registered: Registered, window: Window) -> str:
    return (
        f"maintenance until {iso(window.until)} ({window.actor}: {window.reason}): nothing is promoted automatically; the gates let it through, "
        f"so a person may: tidegate promote {job.strategy.name} {registered.version}"
    )


def publish_report(
    job: Job,
    gathered: Gathered,
    folds: tuple[Fold, ...],
    judged: Judged,
    registered: Registered,
    promotion: PromotionRecord,
) -> Retrained:
    """Write the report, and keep it with the run in MLflow."""
    with job.watch.stage("report"):
        record = RunRecord(
            strategy=job.strategy,
            retrain_key=job.key,
            as_of=job.as_of_ms,
            created_at=job.now_ms,
            decision=judged.decision,
            manifest=judged.bundle.manifest,
            symbols=gathered.symbols,
            folds=tuple(_fold_record(fold, job) for fold in folds),
            pooled=judged.pooled,
            metrics=judged.metrics,
            regimes=judged.regimes,
            stress=judged.measured.stress,
            random_baseline=judged.measured.baseline,
            calibration=judged.measured.curve,
            contest=judged.contest.record,
            promotion=promotion,
            timings_s=dict(job.watch.seconds),
            run_id=registered.run_id,
            links=_links(gathered),
        )
        path = job.folder / "report.html"
        write_report(record, path)
        run = TrackedRun(
            Tracking(job.settings).connection, job.strategy.name, registered.experiment_id, registered.run_id
        )
        run.artifact(path)
        run.tags({"outcome": promotion.outcome})
        run.rename(f"{job.month} v{registered.version} {promotion.outcome}")
        return Retrained(record, path, markdown_summary(record))


def _links(gathered: Gathered) -> Mapping[str, str]:
    return {f"Data docs {record.symbol}": f"validation/{slug(record.symbol)}/index.html" for record in gathered.symbols}


def record_reads(job: Job, gathered: Gathered, prepared: Prepared) -> None:
    """Count that this run reads its test windows, and take its share of the error budget, before it does.

    A run that dies half-way has looked all the same.

    Raises:
        LedgerError: the ledger cannot be reached.
    """
    ledger = TrialLedger.from_settings(job.settings)
    for windows in prepared.folds:
        for record in gathered.symbols:
            ledger.record_read(HoldoutRead(job.strategy.name, job.key, job.folder.name, record.snapshot, windows.test))
    reserve_look(job, look_key(job, gathered, prepared), LookLedger(ledger.database))


def _record_trials(job: Job, folds: tuple[Fold, ...]) -> None:
    """Write what is not in the ledger yet; a rerun that takes its folds from the cache has tried nothing new."""
    ledger = TrialLedger.from_settings(job.settings)
    known = {trial.trial_id for trial in ledger.trials(job.strategy.name, job.key)}
    trials = {}
    for number, fold in enumerate(folds):
        for trial in fold.trials:
            name = trial_id(job, fold.windows, trial)
            if name in known:
                continue
            path, digest = write_trial(job.settings.paths.data / "trials", trial)
            trials[name] = TrialRow(
                trial_id=name,
                strategy=job.strategy.name,
                retrain_key=job.key,
                fold=number,
                parameters=dict(trial.parameters),
                seed=job.strategy.model.seed,
                windows=fold.windows,
                score=trial.score if math.isfinite(trial.score) else None,
                rounds=int(max(trial.rounds)),
                returns_path=path,
                returns_sha256=digest,
            )
    ledger.record(*trials.values())


def _log(job: Job, gathered: Gathered, folds: tuple[Fold, ...], judged: Judged) -> Registered:
    strategy, tracking, signer = job.strategy, Tracking(job.settings), open_signer(job.settings)
    tags = {"kind": strategy.kind, "retrain_key": job.key, "manifest_digest": judged.bundle.digest, "actor": job.actor}
    with tracking.start_run(strategy.name, f"{job.month} retrain", tags) as run:
        run.params(_parameters(job, judged))
        run.metrics(dict(judged.metrics))
        run.metrics(_gate_metrics(judged))
        run.metrics(_ledger_metrics(job, folds))
        for record in gathered.symbols:
            profile = {"bars": record.bars, "first": iso(record.first_at), "last": iso(record.last_at)}
            run.dataset(f"{record.symbol} {strategy.interval}", record.snapshot, source=record.origin, profile=profile)
        for number, fold in enumerate(folds):
            test, metrics = fold.windows.test, _fold_metrics(fold, job)
            with run.child(f"{job.month} fold {number + 1}", {"fold": str(number + 1)}) as child:
                child.params(
                    {"test_start": iso(test.start_at), "test_end": iso(test.end_at), "rounds": fold.fitted.rounds}
                )
                child.metrics(metrics)
            # The same figures as steps of the parent: MLflow draws them, and compares runs by them, as curves over the folds.
            run.metrics({f"fold/{name}": metrics[name] for name in _CURVES}, step=number + 1)
        run.decision(judged.decision)
        run.tags(_verdict_tags(judged.decision))
        for folder in ("out_of_sample", "contest", "validation"):
            if (job.folder / folder).exists():
                run.artifacts(job.folder / folder, folder)
        version = tracking.register(
            job.folder / "bundle",
            run,
            [spec.name for spec in judged.bundle.manifest.features],
            description=_version_note(job, judged),
            tags={
                "verdict": "promote" if judged.decision.promote else "refuse",
                "retrain_key": job.key,
                "policy": judged.decision.policy,
            },
            metrics=dict(judged.metrics),
            shadow_signature=None if signer is None else signer.sign(shadow_message(judged.bundle.digest)),
        )
    return Registered(version, run.run_id, run.experiment_id)


def _parameters(job: Job, judged: Judged) -> dict[str, object]:
    strategy, manifest = job.strategy, judged.bundle.manifest
    return {
        "symbols": ",".join(strategy.symbols),
        "interval": strategy.interval,
        "model": manifest.model,
        "policy": manifest.policy.model_dump(mode="json"),
        "labels": manifest.labels,
        "costs": manifest.costs,
        "windows": strategy.windows.model_dump(mode="json"),
        "features": len(manifest.features),
        "as_of": iso(job.as_of_ms),
    }


def _version_note(job: Job, judged: Judged) -> str:
    """What a list of versions shows beside each: first the figures that people compare."""
    decision, metrics = judged.decision, judged.metrics
    shown = [
        f"{metric.title} {quantity(metrics[name], metric.unit)}"
        for metric in METRICS
        if (name := metric.name) in _HEADLINE and metrics.get(name) is not None
    ]
    told = f"{'promote' if decision.promote else 'refuse'} ({decision.policy}): {decision.summary}"
    return f"{', '.join(shown)}. {told}. Retrain {describe_job(job)}.".replace(NBSP, " ")


def _gate_metrics(judged: Judged) -> dict[str, float | None]:
    # MLflow draws what stands before a slash as a section of its own, so that the model's figures stay together.
    own = {"latency_p95_ms", "onnx_parity", "serving_parity", "engines_agree", "no_look_ahead", "champion"}
    results = judged.decision.results
    found = {
        f"gate/{result.name}": result.observed
        for result in results
        if result.name in own or result.family == "statistic"
    }
    for result in results:
        if result.interval is not None:
            found |= {f"gate/{result.name}.low": result.interval[0], f"gate/{result.name}.high": result.interval[1]}
        if result.name == "skill":
            found |= {"gate/skill.level": result.threshold, "gate/skill.power": result.power}
    regimes = {
        f"regime/{regime}.{name}": values[name]
        for regime, values in judged.regimes.items()
        for name in ("trades", "win_rate", "profit_factor", "net_return")
    }
    return found | regimes


def _verdict_tags(decision: Decision) -> dict[str, str]:
    """Who decided, and what points, statistics and each policy say."""
    return {"policy": decision.policy} | {f"verdict.{name}": word for name, word in verdict_words(decision).items()}


def _ledger_metrics(job: Job, folds: tuple[Fold, ...]) -> dict[str, float]:
    """How often one has tried and looked, over all runs: what a good result has to be weighed against."""
    ledger, name = TrialLedger.from_settings(job.settings), job.strategy.name
    return {
        "ledger/trials": float(ledger.count_trials(name)),
        "ledger/holdout_reads": float(ledger.count_reads(name, folds[-1].windows.test)),
        "ledger/looks": float(len(LookLedger(ledger.database).looks(name))),
    }


def _fold_metrics(fold: Fold, job: Job) -> dict[str, float]:
    return summarise(fold.portfolio, job.strategy.periods_per_year)


def _fold_record(fold: Fold, job: Job) -> FoldRecord:
    return FoldRecord(
        train_start_at=fold.windows.train.start_at,
        train_end_at=fold.windows.train.end_at,
        test_start_at=fold.windows.test.start_at,
        test_end_at=fold.windows.test.end_at,
        training_rows=len(fold.rows),
        rounds=fold.fitted.rounds,
        margin=fold.margin,
        log_loss=fold.fitted.out_of_fold.log_loss,
        metrics=_fold_metrics(fold, job),
    )
