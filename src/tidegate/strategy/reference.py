"""The strategy file's reference, and the JSON Schema of any contract, generated from the models themselves."""

import json
from collections.abc import Iterator
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from tidegate.settings.reference import default_text, field_kind
from tidegate.strategy.gates import GateRule, Gates
from tidegate.strategy.strategy import FeatureUse, Source, Strategy

_INTRODUCTION = """\
# The strategy file

One YAML file under `configs/strategies/` is one strategy, and its file name is the strategy's `name`. `tidegate new` writes a commented one.
Unknown keys are refused, and so is every value outside its bounds. Keys that are not written have the default, so a short file is a whole one:

```yaml
version: 1
name: btc-hourly
kind: real
symbols: [BTC/USDT]
interval: 1h
source:
  type: file
  path: data/raw/{symbol}*.csv
costs:
  fee_bps: 7.5
gates:
  trades: {threshold: 200}
```

The schema is [strategy-file.schema.json](contracts/strategy-file.schema.json). An editor that knows JSON Schema completes and checks keys with it. For those that use
the YAML language server, begin a file under `configs/strategies/` with

    # yaml-language-server: $schema=../../docs/contracts/strategy-file.schema.json

This page is generated from the models: `python -m docs.generate --write`.

## Rules that span several keys

- `kind: simulated` and `source.type: simulated` go together. Names of simulated strategies begin with `simulated`, their symbols with `SIM`,
  and no others may.
- `windows.embargo_bars` is never longer than the training window.
- `combine: pooled` trains one model for all symbols. `combine: separate` trains one a symbol, named after strategy and symbol: strategy `majors` with
  `BTC/USDT` becomes `majors-btcusdt`.
- A year has 365 days of bars on the calendar `24/7`, and 260 on `fx`. Sharpe ratios are annual by that.
- `calendar: fx` follows New York: open from Sunday 17:00 to Friday 17:00 there, which is 22:00 UTC in winter and 21:00 in summer.
- `windows.max_age_days` counts from the end of the newest test window.
- `source.since` of a `ccxt` source has to be set: nothing else says where to begin.
- Times (`since`, `starts_at`, `edge_ends_at`) are ISO 8601 and UTC unless they carry a zone; quotes are not needed. A key that stands twice is refused.
- `monitor` and `rollback` are read at each run of the monitor and every few seconds by `tidegate watch`: a changed file holds from then on."""


def reference() -> str:
    """All keys of the strategy file as Markdown, for docs/strategy-file.md."""
    top = {name: field for name, field in Strategy.model_fields.items() if _parts(field) == ()}
    sections = [_INTRODUCTION, _section("Top level", "", _rows("", top))]
    for name, field in Strategy.model_fields.items():
        match name:
            case "source":
                sections += [_source(part) for part in _parts(field)]
            case "features":
                text = "A list. See [features](features.md) for the families and for functions of your own."
                sections.append(_section("features", text, _rows("features[].", FeatureUse.model_fields)))
            case "gates":
                sections.append(_gates())
            case _:
                for part in _parts(field):
                    sections.append(_section(name, _about(part), list(_nested(f"{name}.", part))))
    return "\n\n".join(sections) + "\n"


def schema_text(model: type[BaseModel], title: str) -> str:
    """A model's JSON Schema as the text of a contract's file.

    Args:
        model: the contract's pydantic model.
        title: what the contract is, with its version.
    """
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema"} | model.model_json_schema()
    return json.dumps(schema | {"title": title}, indent=2, ensure_ascii=False) + "\n"


def _source(part: type[BaseModel]) -> str:
    (kind,) = get_args(part.model_fields["type"].annotation)
    fields = {name: field for name, field in part.model_fields.items() if name != "type"}
    return _section(f"source, type `{kind}`", _about(part), _rows("source.", fields))


def _gates() -> str:
    text = (
        "`policy` names what the gates start from; what is left out here is as that policy has it. The defaults below are those of `balanced`. "
        "A gate is a mapping of the three keys below. A gate with an empty `threshold` fails, but for `skill`, whose bound is the level of the look. "
        "[Gates](gates.md) tells what the policies are for, and [the table of gates](contracts/gates.md) what each judges under each policy."
    )
    rows = _rows("gates.<gate>.", GateRule.model_fields)
    for name, field in Gates.model_fields.items():
        default = field.get_default(call_default_factory=True, validated_data={})
        if isinstance(default, GateRule):
            rows.append(_row(f"gates.{name}", "gate", _gate_default(default), field.description or ""))
        else:
            rows += _rows("gates.", {name: field})
    return _section("gates", text, rows)


def _gate_default(rule: GateRule) -> str:
    told = rule.model_dump(exclude_defaults=True) or {"blocking": True}
    return ", ".join(
        f"{key}: {value:g}" if isinstance(value, float) else f"{key}: {value}" for key, value in told.items()
    )


def _nested(prefix: str, part: type[BaseModel]) -> Iterator[str]:
    for name, field in part.model_fields.items():
        below = _parts(field)
        if below:
            yield from _nested(f"{prefix}{name}.", below[0])
        else:
            yield from _rows(prefix, {name: field})


def _rows(prefix: str, fields: dict[str, FieldInfo]) -> list[str]:
    return [
        _row(
            f"{prefix}{name}",
            _kind(field),
            "required" if field.is_required() else _default(field),
            field.description or "",
        )
        for name, field in fields.items()
    ]


def _default(field: FieldInfo) -> str:
    """A default as one would write it in YAML."""
    value = field.get_default(call_default_factory=True, validated_data={})
    return json.dumps(value) if isinstance(value, bool | tuple | dict) else default_text(field)


def _row(key: str, kind: str, default: str, description: str) -> str:
    shown = default if default in {"", "required"} else f"`{default}`"
    return f"| `{key}` | {kind} | {shown} | {description} |"


def _section(title: str, text: str, rows: list[str]) -> str:
    head = ["| key | type | default | what it decides |", "|---|---|---|---|"]
    return "\n".join([f"## {title}", "", *([text, ""] if text else []), *head, *rows])


def _about(part: type[BaseModel]) -> str:
    return (part.__doc__ or "").strip().splitlines()[0]


def _parts(field: FieldInfo) -> tuple[type[BaseModel], ...]:
    """The models that a field is made of, one or a choice of several; none for plain values and lists."""
    annotation: Any = field.annotation
    if annotation == Source or annotation == get_args(Source)[0]:
        return get_args(get_args(Source)[0])
    return (annotation,) if isinstance(annotation, type) and issubclass(annotation, BaseModel) else ()


def _kind(field: FieldInfo) -> str:
    """A field's type and bounds in words; lists, mappings and literals that are no text as well."""
    annotation: Any = field.annotation
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated or origin in {tuple, dict} or (origin is Literal and not all(map(_is_text, arguments))):
        return ", ".join([_collection(annotation), *_lengths(field)])
    return ", ".join([field_kind(field).replace("bool", "true / false"), *_lengths(field)])


def _collection(annotation: Any) -> str:  # noqa: ANN401  annotations are of any type
    origin, arguments = get_origin(annotation), [each for each in get_args(annotation) if each is not NoneType]
    if origin is Literal:
        return " / ".join(map(str, arguments))
    if origin is dict:
        return f"mapping of {_collection(arguments[0])} to {_collection(arguments[1])}"
    if origin is tuple:
        return f"list of {_collection(arguments[0])}" if arguments[-1] is Ellipsis else "pair of numbers"
    names = {"str": "text", "int": "integer", "float": "number", "Any": "any value", "FeatureUse": "feature"}
    name = getattr(annotation, "__name__", str(annotation))
    return names.get(name, name)


def _lengths(field: FieldInfo) -> list[str]:
    told = []
    for bound in field.metadata:
        for attribute, word in (("min_length", "at least"), ("max_length", "at most")):
            if getattr(bound, attribute, None) is not None:
                told.append(f"{word} {getattr(bound, attribute)}")
        if getattr(bound, "pattern", None):
            told.append(f"matches `{bound.pattern}`")
    return told


def _is_text(value: object) -> bool:
    return isinstance(value, str)
