"""Settings of `tidegate deploy`: how serving processes are started beside the old ones, switched to and stopped, and how long all is watched."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from tidegate.settings.section import Names, Section

COMMANDS = ("start_command", "switch_command", "back_command", "stop_old_command", "stop_new_command")
"""Commands that `deploy.replicas: commands` needs; each must do nothing more when it is given twice."""
SWITCHES = ("switch_command", "back_command")
"""Those of them that `deploy.proxy_socket` takes the place of."""


class Deploy(Section):
    """Deployments by `tidegate deploy`."""

    replicas: Literal["follow", "processes", "commands"] = Field(
        "follow",
        description="How the serving processes change. follow: those that run take the new version over from the registry. processes: a new one is started on this machine beside them. commands: by your own commands.",
    )
    pull_command: str | None = Field(
        None, description="Command that fetches the new image, such as `docker compose pull serving`. Empty: none."
    )
    start_command: str | None = Field(None, description="Command that starts the new one beside the old one.")
    switch_command: str | None = Field(None, description="Command that sends requests to the new one.")
    back_command: str | None = Field(None, description="Command that sends requests to the old one again.")
    stop_old_command: str | None = Field(None, description="Command that stops the old one after a good watch.")
    stop_new_command: str | None = Field(None, description="Command that stops the new one after going back.")
    new_instances: Names = Field(
        (),
        description="Addresses of what start_command starts, which must become ready. Empty: every process known to the registry must.",
    )
    proxy_socket: str | None = Field(
        None,
        pattern=r"^(/.+|.+:\d+)$",
        description="HAProxy's runtime API, which is told of new and old processes: the path of its socket, or host:port. Empty: none.",
    )
    proxy_backend: str = Field(
        "serving", pattern=r"^[A-Za-z0-9_.:-]+$", description="HAProxy's backend with the serving processes."
    )
    proxy_state_file: Path | None = Field(
        None, description="File that gets the states of HAProxy's servers, for its next start. Empty: none."
    )
    drain_s: float = Field(30.0, ge=0, le=3600, description="Seconds to wait for requests of a drained process.")
    ready_s: float = Field(120.0, gt=0, le=3600, description="Seconds in which a new serving process must be ready.")
    command_s: float = Field(600.0, gt=0, le=86_400, description="Seconds before one of the commands is given up.")
    bot_minutes: float = Field(
        5.0, ge=0, le=1440, description="Minutes in which every known bot must name the new version in its heartbeat."
    )
    watch_minutes: float = Field(
        30.0, ge=0, le=1440, description="Minutes for which a deployment is watched by the rollback rules."
    )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        own = SWITCHES if self.proxy_socket else ()
        missing = [name for name in COMMANDS if name not in own and not getattr(self, name)]
        if self.replicas == "commands" and missing:
            raise ValueError(f"replicas `commands` needs {', '.join(missing)}")
        if self.proxy_socket is None:
            return self
        if self.replicas == "follow":
            raise ValueError(
                "proxy_socket needs replicas `processes` or `commands`: `follow` starts nothing that could be switched to"
            )
        doubled = [name for name in SWITCHES if getattr(self, name)]
        if doubled:
            raise ValueError(f"proxy_socket does what {', '.join(doubled)} would; leave one of both out")
        if self.replicas == "commands" and not self.new_instances:
            raise ValueError("proxy_socket with replicas `commands` needs new_instances")
        return self
