"""A retraining's look at its out-of-sample results: what it is called, and what of the error budget it may spend."""

import hashlib

from tidegate.pipeline.data import Gathered, Prepared
from tidegate.pipeline.fold_identity import NO_PART_IN_A_MODEL, own_sources
from tidegate.pipeline.job import Job
from tidegate.registry.chain import canonical
from tidegate.registry.looks import LookLedger
from tidegate.statistics.spending import Allowance

# Where bars came from changes no result that is looked at.
_NO_PART_IN_A_LOOK = {*NO_PART_IN_A_MODEL, "source"}


def look_key(job: Job, gathered: Gathered, prepared: Prepared) -> str:
    """SHA-256 over configuration, snapshots and the pooled test window: equal keys are one look.

    A strategy file with other gates is the same look: the results are the same ones. Any other change of it is another look, and so is
    one of the file of a feature of the user's own.
    """
    content = canonical(
        {
            "strategy": job.strategy.model_dump(mode="json", exclude=_NO_PART_IN_A_LOOK),
            "features": own_sources(job.strategy),
            "snapshots": {record.symbol: record.snapshot for record in gathered.symbols},
            "window": [prepared.folds[0].test.start_at, prepared.folds[-1].test.end_at],
        }
    )
    return hashlib.sha256(content.encode()).hexdigest()


def reserve_look(job: Job, key: str, looks: LookLedger) -> Allowance:
    """Put the look on record, if it is not there yet, and tell what it may spend.

    Raises:
        LedgerError: the ledger cannot be reached.
    """
    gates = job.strategy.gates
    return looks.reserve(
        job.strategy.name, key, job.as_of_ms, yearly_error=gates.yearly_error, looks_per_year=gates.looks_per_year
    )
