"""The form of a probe."""

from collections.abc import Callable

from tidegate.checklist.context import Context
from tidegate.checklist.finding import Finding

Probe = Callable[[Context], Finding]
"""Looks at the real thing. Raises `NotMeasured` where there is nothing to look at; whatever else it raises is a fail."""
