"""Settings of where flow runs run: as processes of the worker, or as containers or Kubernetes jobs made from the pipeline's image."""

import re
from pathlib import PurePosixPath
from typing import Final, Literal, Self

from pydantic import Field, field_validator, model_validator

from tidegate.settings.section import Names, Section

TRACKING: Final = "TIDEGATE_MLFLOW__TRACKING_URI"
SECRETS_FOLDER: Final = "/run/secrets"
"""Where the pipeline's image looks for the files that `{secret:NAME}` stands for."""
_SECRET: Final = re.compile(r"\{secret:[A-Za-z0-9._-]+\}")
_HIDDEN: Final = re.compile(
    r"((?:^|_)PASS|PASSWD|PASSWORD|PASSPHRASE|SECRET|TOKEN|CREDENTIALS?|AUTH_STRING|API_KEY|ACCESS_KEY|PRIVATE_KEY|SECRET_KEY)$"
)
_IN_ADDRESS: Final = re.compile(
    r"://[^/@:]*:([^/@]+)@|[?&](?:password|passwd|token|secret|api_key)=([^&]+)", re.IGNORECASE
)
_VARIABLE: Final = re.compile(r"[A-Z_][A-Z0-9_]*\Z")


class WorkPool(Section):
    """Where flow runs run."""

    type: Literal["process", "docker", "kubernetes"] = Field(
        "process",
        description="What a flow run is. process: a process of the worker. docker: a container. kubernetes: a job. The last two need an image.",
    )
    image: str | None = Field(
        None, min_length=1, description="Pipeline image of containers and jobs, with a tag or digest."
    )
    pull: Literal["IfNotPresent", "Always", "Never"] = Field(
        "IfNotPresent", description="When the image is pulled before a run."
    )
    folder: PurePosixPath = Field(
        PurePosixPath("/etc/tidegate"), description="Folder in the image that holds flows/ and configs/."
    )
    networks: Names = Field(
        (), description="Networks of Docker that a container joins; `host` alone is the machine's own."
    )
    volumes: Names = Field(
        (),
        description="What is mounted, as SOURCE:TARGET or SOURCE:TARGET:ro. A source is a volume or folder for docker, a persistent volume claim for kubernetes.",
    )
    environment: dict[str, str] = Field(
        default_factory=dict,
        description="Environment of containers and jobs, as JSON. `{secret:NAME}` stands for the file NAME of the secrets; a password may stand there in no other way.",
    )
    secrets: str | None = Field(
        None,
        min_length=1,
        description="Secrets, which a run finds in /run/secrets. A folder of the machine for docker, the name of a Secret for kubernetes.",
    )
    memory_mb: int = Field(6144, ge=256, description="Memory of a container or job; one that needs more is ended.")
    cpus: float = Field(2.0, gt=0, le=1024, description="Processors of a container or job.")
    namespace: str = Field("default", min_length=1, description="Namespace of Kubernetes in which jobs are made.")
    service_account: str | None = Field(None, min_length=1, description="Service account of a job in Kubernetes.")

    @field_validator("volumes")
    @classmethod
    def _are_mounts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            mount_of(text)
        return value

    @field_validator("environment")
    @classmethod
    def _holds_no_secret(cls, value: dict[str, str]) -> dict[str, str]:
        """Prefect keeps it in its database in the clear, and shows it."""
        for name, text in value.items():
            if not _VARIABLE.match(name):
                raise ValueError(f"is no name of an environment variable: {name!r}")
            inside = [one[1] or one[2] for one in _IN_ADDRESS.finditer(text)]
            told = inside or ([text] if _HIDDEN.search(name) else [])
            if any(one and not _SECRET.fullmatch(one) for one in told):
                raise ValueError(f"{name} holds a secret in the clear; write {{secret:NAME}} there, and name `secrets`")
        return value

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.type == "process":
            return self
        if self.image is None:
            raise ValueError(f"type `{self.type}` needs image")
        if TRACKING not in self.environment:
            raise ValueError(
                f"type `{self.type}` needs {TRACKING} in environment: a run would open a registry of its own"
            )
        if self.secrets is None and any(_SECRET.search(text) for text in self.environment.values()):
            raise ValueError("environment names secrets, and `secrets` does not say where they are")
        if self.type == "docker" and self.secrets is not None and not self.secrets.startswith("/"):
            raise ValueError("secrets must be a folder by its whole path: Docker takes another name for a volume")
        if self.type == "kubernetes" and self.networks:
            raise ValueError("networks are Docker's; Kubernetes has none")
        if "host" in self.networks and len(self.networks) > 1:
            raise ValueError("the network `host` goes with no other")
        return self


def mount_of(text: str) -> tuple[str, str, bool]:
    """Source, target and whether it may only be read, of a volume's text.

    Raises:
        ValueError: it is none.

    >>> mount_of("pipeline:/srv/tidegate"), mount_of("/srv/configs:/etc/tidegate/configs:ro")
    (('pipeline', '/srv/tidegate', False), ('/srv/configs', '/etc/tidegate/configs', True))
    """
    source, _, rest = text.partition(":")
    target, _, mode = rest.partition(":")
    if not source or not target.startswith("/") or mode not in {"", "ro", "rw"}:
        raise ValueError(f"is no volume: {text!r}, expected SOURCE:/TARGET or SOURCE:/TARGET:ro")
    return source, target, mode == "ro"
