"""Opens the promoter that the settings name, with the right today for every kind of strategy."""

from tidegate.registry.ledger import Ledger
from tidegate.registry.promotion import Promoter
from tidegate.registry.retrains import RetrainLedger
from tidegate.registry.tracking.versions import Tracking
from tidegate.settings.settings import Settings


def open_promoter(settings: Settings, tracking: Tracking | None = None) -> Promoter:
    """The promoter of an installation; nothing is read or written yet.

    A simulated market has no today: a simulated model's age is judged at the time of its strategy's newest retrain. A real model's age
    is judged by the clock, and so is that of a model whose kind is not known. Rows of the ledger always carry the clock's time.
    """
    tracking = tracking or Tracking(settings)
    ledger = Ledger.from_settings(settings)
    # One database object for both: a second one would wait for the lock that an act on the first already holds.
    retrains = RetrainLedger(ledger.database)

    def today(strategy: str) -> int:
        if tracking.kind(strategy) == "simulated":
            runs = retrains.runs(strategy)
            if runs:
                return runs[-1].as_of
        return ledger.database.clock()

    return Promoter(ledger, tracking, today=today)
