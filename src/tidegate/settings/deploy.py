"""Settings of `tidegate deploy`: how serving processes are started beside the old ones, switched to and stopped, and how long all is watched."""

from typing import Literal, Self

from pydantic import Field, model_validator

from tidegate.settings.section import Names, Section

COMMANDS = ("start_command", "switch_command", "back_command", "stop_old_command", "stop_new_command")
"""Commands that `deploy.replicas: commands` needs; each must do nothing more when it is given twice."""


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
        missing = [name for name in COMMANDS if not getattr(self, name)]
        if self.replicas == "commands" and missing:
            raise ValueError(f"replicas `commands` needs {', '.join(missing)}")
        return self
