import json
import re
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from tidegate.strategy.gates import GateRule, Gates
from tidegate.strategy.reference import reference, schema_text
from tidegate.strategy.strategy import FeatureUse, Source, Strategy

SOURCES: tuple[type[BaseModel], ...] = get_args(get_args(Source)[0])


def keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Every key, found another way than the page does."""
    for name, field in model.model_fields.items():
        kind: Any = field.annotation
        if name in {"source", "features"} and not prefix:
            continue
        if isinstance(kind, type) and issubclass(kind, BaseModel) and kind is not GateRule:
            yield from keys(kind, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def described() -> list[str]:
    return re.findall(r"^\| `([^`]+)` \|", reference(), flags=re.MULTILINE)


def test_every_key_stands_in_the_reference() -> None:
    expected = set(keys(Strategy)) | {"features"}
    expected |= {f"source.{name}" for part in SOURCES for name in part.model_fields if name != "type"}
    expected |= {f"features[].{name}" for name in FeatureUse.model_fields}
    expected |= {f"gates.<gate>.{name}" for name in GateRule.model_fields}
    assert set(described()) == expected


@pytest.mark.parametrize("model", [Strategy, *SOURCES, FeatureUse, GateRule, Gates], ids=lambda model: model.__name__)
def test_every_key_is_described(model: type[BaseModel]) -> None:
    assert [name for name, field in model.model_fields.items() if not field.description and name != "type"] == []


@pytest.mark.parametrize(
    "row",
    [
        "| `windows.train_days` | integer, >= 60, <= 3650 | `90` |",
        "| `symbols` | list of text, at least 1, at most 50 | required |",
        "| `policy.flip` | true / false | `true` |",
        "| `source.day_first` | true / false |  |",
        "| `gates.max_drawdown` | gate | `threshold: 0.15` |",
        "| `model.search.space` | mapping of text to pair of numbers |",
        "| `version` | 1 | required |",
    ],
)
def test_types_bounds_and_defaults_read_well(row: str) -> None:
    assert row in reference()


def test_no_type_leaks_python() -> None:
    kinds = re.findall(r"^\| `[^`]+` \| ([^|]+) \|", reference(), flags=re.MULTILINE)
    assert [
        kind for kind in kinds if re.search(r"\b(str|int|float|bool|None|tuple|dict|Any|class)\b|[<]\w", kind)
    ] == []


def test_a_schema_names_its_draft_and_title() -> None:
    schema = json.loads(schema_text(Strategy, "a title"))
    assert schema["title"] == "a title"
    assert schema["$schema"].endswith("2020-12/schema")
    assert schema["additionalProperties"] is False
