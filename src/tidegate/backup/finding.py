"""What a look at backups or at the installation found: damage with its place and what mends it, and notes that are no damage."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Finding:
    """One damage.

    Attributes:
        where: the file, version, database or repository.
        what: what is wrong with it.
        mend: what to do.
    """

    where: str
    what: str
    mend: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """A whole look.

    Attributes:
        backup: name of the backup that was looked at, empty where there is none.
        findings: damage; none where all is well.
        notes: what people should know and is no damage.
        looked: what was looked at, with numbers.
        took_s: seconds.
    """

    backup: str
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    looked: tuple[str, ...]
    took_s: float

    @property
    def is_well(self) -> bool:
        """Whether nothing is damaged."""
        return not self.findings

    def content(self) -> dict[str, Any]:
        """For the event ledger and for machines."""
        return {
            "backup": self.backup,
            "well": self.is_well,
            "findings": [{"where": one.where, "what": one.what, "mend": one.mend} for one in self.findings],
            "notes": list(self.notes),
            "looked": list(self.looked),
            "took_s": round(self.took_s, 3),
        }


@dataclass(slots=True)
class Seen:
    """A look under way."""

    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    looked: list[str] = field(default_factory=list)

    def fault(self, where: str, what: str | None, mend: str) -> None:
        """Note a damage where there is one."""
        if what is not None:
            self.findings.append(Finding(where, what, mend))
