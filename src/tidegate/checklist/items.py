"""The checklist as data: every line with a stable name, and who answers for it."""

from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from tidegate.errors import ConfigurationError
from tidegate.settings.loading import describe, read_yaml

Blocks = Literal["nothing", "deployment", "promotion"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Item(_Part):
    """One line. Just one of `probe`, `manual` and `parts` is given."""

    id: str = Field(pattern=r"^[a-z0-9_]+(\.[a-z0-9_]+)+$", description="Stable name.")
    text: str = Field(min_length=1, description="The line, word for word.")
    kind: Literal["box", "step", "field"] = "box"
    probe: str | None = Field(None, description="Name of the probe that answers.")
    manual: int | None = Field(None, ge=1, le=400, description="Days that a person's signature holds.")
    parts: tuple[str, ...] = Field((), description="Ids of the lines that this one sums up.")
    blocks: Blocks = Field("nothing", description="What may not happen while it does not pass; promotion: both.")

    @model_validator(mode="after")
    def _one_answers(self) -> Self:
        if sum((self.probe is not None, self.manual is not None, bool(self.parts))) != 1:
            raise ValueError("just one of probe, manual and parts must be given")
        return self


class Section(_Part):
    """Lines under one heading."""

    path: tuple[str, ...] = Field(min_length=1, max_length=2, description="Headings, the outer one first.")
    items: tuple[Item, ...]


class Rubric(_Part):
    """A whole list."""

    version: Literal[1] = 1
    sections: tuple[Section, ...]

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        ids = [item.id for item in self.items]
        if len(set(ids)) != len(ids):
            raise ValueError(f"an id stands twice: {', '.join(sorted({one for one in ids if ids.count(one) > 1}))}")
        unknown = [part for item in self.items for part in item.parts if part not in ids]
        if unknown:
            raise ValueError(f"parts name no line: {', '.join(unknown)}")
        return self

    @property
    def items(self) -> tuple[Item, ...]:
        """All lines, in order."""
        return tuple(item for section in self.sections for item in section.items)

    def item(self, name: str) -> Item:
        """A line by its id.

        Raises:
            ConfigurationError: there is none.
        """
        for item in self.items:
            if item.id == name:
                return item
        raise ConfigurationError(
            f"the checklist has no item {name!r}", next_step="`tidegate checklist --json` names all of them"
        )


def load_rubric(path: Path) -> Rubric:
    """Read a list.

    Raises:
        ConfigurationError: the file is missing or wrong.
    """
    if not path.is_file():
        raise ConfigurationError(
            f"the list {path} is not there",
            next_step="copy configs/checklist.yaml of tidegate's repository into the project",
        )
    try:
        return Rubric.model_validate(read_yaml(path))
    except ValidationError as error:
        raise ConfigurationError(f"checklist {path} is wrong: {describe(error)}") from error


def checklist_file(root: Path) -> Path:
    """Where a project keeps its list."""
    return root / "configs" / "checklist.yaml"
