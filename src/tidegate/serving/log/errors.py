"""What can be wrong with the prediction log."""

from tidegate.errors import DataError, ServiceError


class LogUnavailable(ServiceError):
    """Rows could not be made durable: the disk is full or failing, or the log has reached its largest size."""

    code = "log_unavailable"


class LogDamaged(DataError):
    """A file of the prediction log is not what was written."""

    code = "log_damaged"
