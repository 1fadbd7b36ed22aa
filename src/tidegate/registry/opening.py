"""Opens the promoter that the settings name, with the key it signs with and the right today for every kind of strategy."""

from tidegate.keys.signing import Signer
from tidegate.registry.ledger import Ledger
from tidegate.registry.promotion import Promoter
from tidegate.registry.retrains import RetrainLedger
from tidegate.registry.tracking.versions import Tracking
from tidegate.settings.settings import Settings


def open_signer(settings: Settings) -> Signer | None:
    """The signer that the settings name, None where they name none.

    Raises:
        ConfigurationError: the key file is missing, too open, or holds no private Ed25519 key.
    """
    path = settings.signing.private_key_file
    return None if path is None else Signer.from_file(path)


def open_promoter(settings: Settings, tracking: Tracking | None = None) -> Promoter:
    """The promoter of an installation; of its files only the key is read yet, and nothing is written.

    A simulated market has no today: a simulated model's age is judged at the time of its strategy's newest retrain. A real model's age
    is judged by the clock, and so is that of a model whose kind is not known. Rows of the ledger always carry the clock's time.

    In production every act must be signed: without a key it is refused before anything moves.

    Raises:
        ConfigurationError: the key file cannot be used.
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

    must_sign = settings.environment == "production"
    return Promoter(ledger, tracking, open_signer(settings), must_sign=must_sign, today=today)
