"""Spans of time, as a manifest keeps them."""

from pydantic import BaseModel, ConfigDict


class Window(BaseModel):
    """A span of time, UTC ms, end excluded."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    start_at: int
    end_at: int


class FoldWindows(BaseModel):
    """One fold's windows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    train: Window
    test: Window
