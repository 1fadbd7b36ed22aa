r"""A trained fold, or another value of known types, as bytes and back, without pickle: a JSON tree, arrays in an npz, a digest over both.

Reading such bytes runs no code, whoever wrote them: types are looked up in a closed list, arrays are plain numbers or text.

::

    tidegate-fold/1\n | SHA-256 of the rest, 32 bytes | npz: tree (JSON), 0, 1, 2, ... (arrays)
"""

import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from enum import StrEnum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from tidegate.backtest.regimes import RegimeDefinition
from tidegate.backtest.result import Backtest, Trades
from tidegate.bars.bars import Bars
from tidegate.bars.interval import Interval
from tidegate.dataset.dataset import TrainingRows
from tidegate.dataset.windows import FoldWindows, Window
from tidegate.errors import ModelError, TidegateError
from tidegate.model.manifest import Calibration
from tidegate.model.training import Fitted, OutOfFold
from tidegate.pipeline.fold import Fold, Tested, Trial
from tidegate.policy.policy import PositionPolicy

MAGIC: Final = b"tidegate-fold/1\n"
_DIGEST_BYTES: Final = hashlib.sha256().digest_size
_TREE: Final = "tree"
_KINDS: Final = "biufU"
_TYPES: Final[dict[str, type[Any]]] = {
    kind.__name__: kind
    for kind in (
        Backtest,
        Bars,
        Calibration,
        Fitted,
        Fold,
        FoldWindows,
        Interval,
        OutOfFold,
        PositionPolicy,
        RegimeDefinition,
        Tested,
        Trades,
        TrainingRows,
        Trial,
        Window,
    )
}
_FAULTS: Final = (
    KeyError,
    TypeError,
    ValueError,
    IndexError,
    AttributeError,
    OSError,
    EOFError,
    zipfile.BadZipFile,
    ValidationError,
    TidegateError,
)

Array = NDArray[Any]
Types = dict[str, type[Any]]


def dumps(fold: Fold) -> bytes:
    """A fold as bytes; `loads` gives it back bit for bit.

    Raises:
        ModelError: it holds something that is not in the closed list of types.
    """
    return pack_value(fold)


def loads(content: bytes) -> Fold:
    """The fold that `dumps` wrote.

    Raises:
        ModelError: the bytes are damaged, or not a fold of this version.
    """
    found = unpack_value(content)
    if not isinstance(found, Fold):
        raise _damaged(f"it holds a {type(found).__name__}")
    return found


def pack_value(value: object, *others: type[Any]) -> bytes:
    """Any value of known types as bytes; `unpack_value` with the same `others` gives it back bit for bit.

    Args:
        value: plain values, arrays, tuples, lists, dicts, and objects of the closed list of types.
        others: further dataclasses, models and text enumerations that may be in it.

    Raises:
        ModelError: it holds something else.
    """
    arrays: list[Array] = []
    types = _TYPES | {kind.__name__: kind for kind in others}
    tree = json.dumps(_encode(value, arrays, types), separators=(",", ":")).encode()
    stream = io.BytesIO()
    members = {str(at): array for at, array in enumerate(arrays)}
    # The stubs take every keyword for `allow_pickle`, hence the wider type.
    write: Callable[..., None] = np.savez
    write(stream, allow_pickle=False, **{_TREE: np.frombuffer(tree, np.uint8)}, **members)
    content = stream.getvalue()
    return MAGIC + hashlib.sha256(content).digest() + content


def unpack_value(content: bytes, *others: type[Any]) -> Any:  # noqa: ANN401  whatever was packed
    """What `pack_value` wrote.

    Raises:
        ModelError: the bytes are damaged.
    """
    body = content[len(MAGIC) + _DIGEST_BYTES :]
    if not content.startswith(MAGIC):
        raise _damaged(f"it does not begin with {MAGIC!r}")
    if hashlib.sha256(body).digest() != content[len(MAGIC) : len(MAGIC) + _DIGEST_BYTES]:
        raise _damaged("its bytes do not match their own digest")
    types = _TYPES | {kind.__name__: kind for kind in others}
    try:
        with np.load(io.BytesIO(body), allow_pickle=False) as archive:
            members = {name: archive[name] for name in archive.files}
        return _decode(json.loads(members.pop(_TREE).tobytes()), members, types)
    except _FAULTS as error:
        raise _damaged(f"it cannot be read: {error!r}") from error


def _damaged(reason: str) -> ModelError:
    return ModelError(f"a stored fold is damaged: {reason}", next_step="nothing is lost: the fold is trained anew")


def _encode(value: object, arrays: list[Array], types: Types) -> Any:  # noqa: ANN401  a JSON tree
    """Plain values stand for themselves, everything else is an object with one key: what it is."""
    if isinstance(value, StrEnum) and types.get(type(value).__name__) is type(value):
        return {"enum": [type(value).__name__, value.value]}
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return float(value)
    if isinstance(value, bytes):
        return {"bytes": _keep(np.frombuffer(value, np.uint8), arrays)}
    if isinstance(value, np.ndarray) and value.dtype.kind in _KINDS:
        return {"array": _keep(value, arrays)}
    return _encode_many(value, arrays, types)


def _encode_many(value: object, arrays: list[Array], types: Types) -> Any:  # noqa: ANN401  a JSON tree
    if isinstance(value, (tuple, list)):
        return {type(value).__name__: [_encode(item, arrays, types) for item in value]}
    if isinstance(value, dict) and all(isinstance(key, (str, float)) for key in value):
        return {"dict": [[key, _encode(item, arrays, types)] for key, item in value.items()]}
    kind = type(value)
    if types.get(kind.__name__) is not kind:
        raise ModelError(f"a fold holds a {kind.__name__}, which cannot be stored", expected=", ".join(types))
    return {"object": [kind.__name__, {name: _encode(getattr(value, name), arrays, types) for name in _names(kind)}]}


def _keep(array: Array, arrays: list[Array]) -> int:
    arrays.append(array)
    return len(arrays) - 1


def _decode(node: Any, arrays: dict[str, Array], types: Types) -> Any:  # noqa: ANN401  a JSON tree
    if not isinstance(node, dict):
        return node
    ((what, content),) = node.items()
    if what in {"bytes", "array"}:
        array = arrays[str(content)]
        return array if what == "array" else array.tobytes()
    if what == "enum":
        return types[content[0]](content[1])
    if what == "object":
        return _object(content[0], {name: _decode(item, arrays, types) for name, item in content[1].items()}, types)
    if what == "dict":
        return {key: _decode(item, arrays, types) for key, item in content}
    return {"tuple": tuple, "list": list}[what](_decode(item, arrays, types) for item in content)


def _object(name: str, given: dict[str, Any], types: Types) -> Any:  # noqa: ANN401  one of the closed list of types
    kind = types[name]
    if set(given) != set(_names(kind)):
        raise ValueError(f"{name} has other fields")
    return kind(**given)


def _names(kind: type[Any]) -> tuple[str, ...]:
    if is_dataclass(kind):
        return tuple(field.name for field in fields(kind))
    assert issubclass(kind, BaseModel)
    return tuple(kind.model_fields)
