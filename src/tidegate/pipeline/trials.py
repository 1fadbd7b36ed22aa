"""What a trial is called, so that the same trial is one row in every ledger."""

import hashlib

from tidegate.dataset.windows import FoldWindows
from tidegate.pipeline.fold import Trial
from tidegate.pipeline.job import Job
from tidegate.registry.chain import canonical


def trial_id(job: Job, windows: FoldWindows, trial: Trial) -> str:
    """A trial's name, by what it is: the same one in every run of a month that tries the same thing on the same data."""
    returns = hashlib.sha256(trial.closed_at.tobytes() + trial.net_return.tobytes()).hexdigest()
    content = canonical(
        {
            "parameters": dict(trial.parameters),
            "seed": job.strategy.model.seed,
            "rounds": list(trial.rounds),
            "windows": windows.model_dump(mode="json"),
            "returns": returns,
        }
    )
    test = windows.test
    return f"{job.key}/{test.start_at}-{test.end_at}/{hashlib.sha256(content.encode()).hexdigest()}"
