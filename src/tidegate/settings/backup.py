"""Settings of backups: where they go, who may read them, how long they stay."""

from pathlib import Path
from typing import Final, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from tidegate.settings.section import Section

REMOTE: Final = ("s3:", "sftp:", "rest:")
"""Beginnings of addresses that are no folder."""


class Backup(Section):
    """Backups with restic: encrypted, deduplicated, in a folder or on a server."""

    repository: str | None = Field(
        None,
        description="Where backups go: an absolute folder, `s3:...`, `sftp:...` or `rest:...`. Empty: there are no backups.",
    )
    password_file: Path | None = Field(
        None, description="File with the repository's password, mode 0600. Whoever loses it has lost the backups."
    )
    environment_file: Path | None = Field(
        None,
        description="File with lines NAME=value for restic, such as AWS_ACCESS_KEY_ID, mode 0600. Nothing of the kind is taken from the caller's environment.",
    )
    keys_repository: str | None = Field(
        None,
        description="Where signing keys, API keys and passwords go, apart from all else. Empty: they are not backed up, and each backup says so.",
    )
    keys_password_file: Path | None = Field(
        None, description="File with the password of keys_repository, mode 0600; another one than password_file."
    )
    keys_environment_file: Path | None = Field(
        None, description="As environment_file, for keys_repository. Empty: environment_file."
    )
    mlflow_database_url: SecretStr | None = Field(
        None, description="Database of an MLflow server that `tidegate up` does not start. Empty: that of paths.mlruns."
    )
    mlflow_artifacts: Path | None = Field(
        None, description="Folder of artifacts of such a server. Empty: that of paths.mlruns."
    )
    before_promotion: Literal["require", "if_configured", "no"] = Field(
        "if_configured",
        description="Whether the monthly run takes a backup before it promotes, and refuses to promote where that fails. require: also where there is no repository.",
    )
    restic: str = Field("restic", min_length=1, description="The program restic, by name or path.")
    postgresql_programs: Path | None = Field(
        None, description="Folder with pg_dump, pg_restore and psql. Empty: they are found by name."
    )
    keep_daily: int = Field(7, ge=1, le=3660, description="Newest backups of a day that are kept, one a day.")
    keep_weekly: int = Field(5, ge=0, le=520, description="Newest backups of a week that are kept, one a week.")
    keep_monthly: int = Field(12, ge=0, le=600, description="Newest backups of a month that are kept, one a month.")
    keep_versions: int = Field(
        3,
        ge=3,
        le=100,
        description="Newest production versions of each strategy that some backup always holds, however old it is.",
    )
    read_data_percent: float = Field(
        5.0, ge=0, le=100, description="Share of the stored data that `tidegate verify` reads again each time, percent."
    )
    late_after_hours: float = Field(
        30.0, gt=0, le=1000, description="Hours after which the newest backup counts as too old."
    )
    timeout_s: int = Field(3600, ge=1, le=86_400, description="Seconds before a call of restic or pg_dump is given up.")
    drill_ledger_url: SecretStr | None = Field(
        None,
        description="Empty PostgreSQL database that the restore drill restores the ledger's dump into, and empties again. Needed where the ledger is on PostgreSQL.",
    )
    drill_mlflow_url: SecretStr | None = Field(None, description="The same for MLflow's dump.")
    drill_timeout_s: int = Field(
        120, ge=5, le=3600, description="Seconds in which a restored server must answer in the restore drill."
    )

    @field_validator("repository", "keys_repository")
    @classmethod
    def _is_a_place(cls, value: str | None) -> str | None:
        if value is None or value.startswith(REMOTE) or Path(value).is_absolute():
            return value
        raise ValueError("must be an absolute folder, or begin with s3:, sftp: or rest:")

    @model_validator(mode="after")
    def _keys_apart(self) -> Self:
        if self.repository is not None and self.password_file is None:
            raise ValueError("repository needs password_file")
        if self.keys_repository is not None:
            if self.repository is None:
                raise ValueError("keys_repository needs repository")
            if self.keys_password_file is None:
                raise ValueError("keys_repository needs keys_password_file")
            if self.keys_repository == self.repository or self.keys_password_file == self.password_file:
                raise ValueError("keys_repository and keys_password_file must differ from repository and password_file")
        return self
