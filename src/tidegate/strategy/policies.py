"""Named gate policies: files beside the strategies, on top of the three that the code knows."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from tidegate.errors import ConfigurationError
from tidegate.settings.loading import describe, read_yaml
from tidegate.strategy.gates import DEFAULT_POLICY, POLICIES, GateRule, Gates, overlay

# These say how strict a policy is as a whole; a strategy's own figure for one policy says nothing about the others.
_OF_THE_POLICY: Final = frozenset({"policy", "yearly_error", "looks_per_year", "permutations"})


def built_in() -> dict[str, Gates]:
    """The policies that the code knows, by name."""
    return {name: Gates.model_validate({"policy": name}) for name in POLICIES}


def named_policies(folder: Path) -> dict[str, Gates]:
    """Every policy by its name: the files of a folder, and those of the code that have no file there.

    Raises:
        ConfigurationError: a file is wrong.
    """
    return built_in() | {path.stem: load_policy(path) for path in sorted(folder.glob("*.yaml"))}


def load_policy(path: Path) -> Gates:
    """Read a policy's file: a mapping like a strategy's `gates`; what it does not name is as in the folder's `balanced`, or the code's.

    Raises:
        ConfigurationError: the file is missing or wrong, or names a policy itself.
    """
    content = read_yaml(path)
    if "policy" in content:
        raise ConfigurationError(
            f"gate policy {path} names a policy", expected="gates and numbers", next_step="a policy builds on no other"
        )
    try:
        below = path.with_name(f"{DEFAULT_POLICY}.yaml")
        if path.stem != DEFAULT_POLICY and below.is_file():
            content = overlay(load_policy(below).model_dump(exclude={"policy"}), content)
        gates = Gates.model_validate(content)
        return Gates.model_validate(gates.model_dump() | {"policy": path.stem})
    except ValidationError as error:
        raise ConfigurationError(f"gate policy {path} is wrong: {describe(error)}") from error


def apply_policy(strategy: Mapping[str, Any], folder: Path, path: Path) -> dict[str, Any]:
    """A strategy file's content with its policy's file put under its own gates.

    Args:
        strategy: content of the file.
        folder: of the policies; where it has no file of the policy's name, the code's own policy of that name holds.
        path: of the strategy file, for the message.
    Raises:
        ConfigurationError: there is no such policy, or its file is wrong.
    """
    gates = strategy.get("gates")
    own = gates if isinstance(gates, dict) else {}
    name = own.get("policy", DEFAULT_POLICY)
    if (gates is not None and own is not gates) or not isinstance(name, str):
        return dict(strategy)  # the model tells what is wrong with it
    file = folder / f"{name}.yaml"
    if file.is_file():
        return dict(strategy) | {"gates": overlay(load_policy(file).model_dump(), own)}
    if name in POLICIES:
        return dict(strategy)
    known = ", ".join(sorted({*POLICIES, *(each.stem for each in folder.glob("*.yaml"))}))
    raise ConfigurationError(
        f"strategy file {path} names the gate policy {name!r}, which is unknown",
        expected=f"one of {known}",
        actual=name,
        setting="gates.policy",
        next_step=f"name one of these, or write {file}",
    )


def under(own: Gates, other: Gates, policies: Mapping[str, Gates]) -> Gates:
    """What another policy is for a strategy: its own thresholds and numbers stay, what blocks is the other's.

    Args:
        own: the strategy's gates, with the policy that they start from.
        other: the policy to take instead.
        policies: by name, to tell what of `own` is the strategy's and what its policy's.
    """
    base = policies.get(own.policy, own)
    changed: dict[str, Any] = {}
    for name in type(own).model_fields:
        mine, given, theirs = getattr(own, name), getattr(base, name), getattr(other, name)
        if name in _OF_THE_POLICY or mine == given:
            continue
        if isinstance(mine, GateRule):
            if mine.threshold != given.threshold:
                changed[name] = theirs.model_copy(update={"threshold": mine.threshold})
        else:
            changed[name] = mine
    return other.model_copy(update=changed)
