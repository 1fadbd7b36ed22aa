"""Every error tidegate raises on purpose, as one tree.

::

    TidegateError                 exit code 1
    ├── ConfigurationError        2   a setting or strategy file is wrong
    ├── DataError                 3   bars cannot be used
    │   ├── SourceError               a file or exchange cannot be read, or its format cannot be told for sure
    │   ├── StoreError                the bar store is damaged or contradicts itself
    │   ├── ValidationFailed          a fatal validation rule found rows
    │   ├── NotEnoughHistory          fewer bars than the computation needs
    │   ├── LogDamaged                a file of the prediction log is not what was written
    │   └── FiguresRefused            figures of monitoring do not add up, so nothing is decided by them
    ├── ModelError                4   training, export or a bundle failed its checks
    │   └── BundleError               a bundle's file is missing, altered or of an unknown schema
    │       └── SignatureRefused          a signature is missing, wrong, or by a key that is not trusted
    ├── PromotionRefused          5   the gates, or a rule of the registry, said no
    │   └── PromotionConflict         somebody else is promoting or has promoted meanwhile
    ├── RegistryError             6   MLflow or the ledger could not be reached or contradict each other
    │   └── LedgerError               the ledger's chain is broken or refuses a row
    └── ServiceError              7   a server did not start, answer or stop
        ├── LogUnavailable            answers cannot be made durable in the prediction log
        ├── NotVerified               serving processes do not answer with the version that they should
        ├── DeliveryFailed            a notification did not reach its receiver
        └── BackupError               a backup could not be taken, is damaged or is missing, or a restore did not succeed

A message says what, where, what was expected and what was found, and the next step. `code` is stable and meant for machines.
"""

from typing import ClassVar


class TidegateError(Exception):
    """Base of all errors raised on purpose.

    Args:
        what: one sentence on what went wrong and where.
        expected: what would have been right.
        actual: what was found instead.
        setting: the setting or strategy key that decides.
        next_step: what the reader can do about it.
    """

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1

    def __init__(
        self,
        what: str,
        *,
        expected: object = None,
        actual: object = None,
        setting: str | None = None,
        next_step: str | None = None,
    ) -> None:
        self.what = what
        self.expected = expected
        self.actual = actual
        self.setting = setting
        self.next_step = next_step
        super().__init__(str(self))

    def __str__(self) -> str:
        """Return the whole message in one line."""
        parts = [f"{self.code}: {self.what}"]
        if self.expected is not None:
            where = f" ({self.setting})" if self.setting else ""
            parts.append(f"expected {self.expected}{where}")
        elif self.setting:
            parts.append(f"see {self.setting}")
        if self.actual is not None:
            parts.append(f"was {self.actual}")
        text = ", ".join(parts)
        return f"{text}; {self.next_step}" if self.next_step else text

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle with the keyword arguments, so that errors cross process borders whole."""
        keywords = {
            "expected": self.expected,
            "actual": self.actual,
            "setting": self.setting,
            "next_step": self.next_step,
        }
        return _rebuild, (type(self), self.what, keywords)


def _rebuild(kind: type[TidegateError], what: str, keywords: dict[str, object]) -> TidegateError:
    return kind(what, **keywords)  # type: ignore[arg-type]


class ConfigurationError(TidegateError):
    """A setting or strategy file is wrong."""

    code = "configuration"
    exit_code = 2


class DataError(TidegateError):
    """Bars cannot be used."""

    code = "data"
    exit_code = 3


class SourceError(DataError):
    """A file or exchange cannot be read, or its format cannot be told for sure."""

    code = "source"


class StoreError(DataError):
    """The bar store is damaged or contradicts itself."""

    code = "store"


class ValidationFailed(DataError):
    """A fatal validation rule found rows."""

    code = "validation_failed"


class NotEnoughHistory(DataError):
    """Fewer bars than the computation needs."""

    code = "not_enough_history"


class LogDamaged(DataError):
    """A file of the prediction log is not what was written."""

    code = "log_damaged"


class FiguresRefused(DataError):
    """Figures of monitoring do not add up, so nothing is decided by them."""

    code = "figures_refused"


class ModelError(TidegateError):
    """Training, export or a bundle failed its checks."""

    code = "model"
    exit_code = 4


class BundleError(ModelError):
    """A bundle's file is missing, altered or of an unknown schema."""

    code = "bundle"


class SignatureRefused(BundleError):
    """A signature is missing, wrong, or by a key that is not trusted."""

    code = "signature"


class PromotionRefused(TidegateError):
    """The gates, or a rule of the registry, said no."""

    code = "promotion_refused"
    exit_code = 5


class PromotionConflict(PromotionRefused):
    """Somebody else is promoting or has promoted meanwhile."""

    code = "promotion_conflict"


class RegistryError(TidegateError):
    """MLflow or the ledger could not be reached or contradict each other."""

    code = "registry"
    exit_code = 6


class LedgerError(RegistryError):
    """The ledger's chain is broken or refuses a row."""

    code = "ledger"


class ServiceError(TidegateError):
    """A server did not start, answer or stop."""

    code = "service"
    exit_code = 7


class LogUnavailable(ServiceError):
    """Rows could not be made durable: the disk is full or failing, or the prediction log has reached its largest size."""

    code = "log_unavailable"


class NotVerified(ServiceError):
    """Serving processes do not answer with the version that they should."""

    code = "not_verified"


class DeliveryFailed(ServiceError):
    """A notification did not reach its receiver."""

    code = "delivery_failed"


class BackupError(ServiceError):
    """A backup could not be taken, is damaged or is missing, or a restore did not succeed."""

    code = "backup"
