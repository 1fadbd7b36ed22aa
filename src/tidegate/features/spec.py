"""How a manifest names a feature."""

from pydantic import BaseModel, ConfigDict, Field


class FeatureSpec(BaseModel):
    """One feature as the model expects it, in order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    use: str = Field(description="Built-in family or module:function.")
    length: int | None
    lookback: int
