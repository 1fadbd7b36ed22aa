"""What every part of the strategy file has in common."""

from pydantic import BaseModel, ConfigDict


class Part(BaseModel):
    """A frozen part of the strategy file that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)
