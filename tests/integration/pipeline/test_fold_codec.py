"""A fold survives being stored bit for bit; damaged bytes and foreign types are refused, and no pickle is involved."""

import dataclasses
import hashlib
import io
import json
import pickle
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel
from tests.integration.pipeline.small_market import job, settings, strategy

from tidegate.errors import ModelError
from tidegate.model.manifest import Calibration
from tidegate.pipeline.data import gather, prepare
from tidegate.pipeline.fold import Fold, run_fold
from tidegate.pipeline.fold_codec import MAGIC, dumps, loads

BODY = len(MAGIC) + 32


@pytest.fixture(scope="module")
def fold(tmp_path_factory: pytest.TempPathFactory) -> Fold:
    """Two symbols and a search, so that every kind of value is there."""
    search = {"trials": 2, "space": {"max_depth": (2, 3), "learning_rate": (0.05, 0.2)}}
    symbols = ["SIM/USD", "SIM2/USD"]
    chosen = job(
        strategy(symbols=symbols, windows={"max_folds": 1}, model={"search": search}),
        settings(tmp_path_factory.mktemp("codec")),
    )
    prepared = prepare(chosen, gather(chosen))
    return run_fold(prepared.dataset, prepared.folds[-1], chosen.strategy, 1)


def differences(one: Any, other: Any, where: str = "fold") -> list[str]:  # noqa: ANN401, PLR0911
    """Where two values differ, in a type or in a bit."""
    if isinstance(one, float):
        return [] if np.float64(one).tobytes() == np.float64(other).tobytes() else [where]
    if type(one) is not type(other):
        return [f"{where}: {type(one)} {type(other)}"]
    if isinstance(one, np.ndarray):
        same = one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
        return [] if same else [where]
    if isinstance(one, Mapping):
        if list(one) != list(other):
            return [f"{where}: keys"]
        return [found for key in one for found in differences(one[key], other[key], f"{where}[{key}]")]
    if isinstance(one, (tuple, list)):
        if len(one) != len(other):
            return [f"{where}: length"]
        pairs = enumerate(zip(one, other, strict=True))
        return [found for at, (left, right) in pairs for found in differences(left, right, f"{where}[{at}]")]
    if dataclasses.is_dataclass(one) or isinstance(one, BaseModel):
        names = (
            type(one).model_fields if isinstance(one, BaseModel) else [each.name for each in dataclasses.fields(one)]
        )
        return [
            found
            for name in names
            for found in differences(getattr(one, name), getattr(other, name), f"{where}.{name}")
        ]
    return [] if one == other else [where]


def test_a_fold_comes_back_bit_for_bit(fold: Fold) -> None:
    again = loads(dumps(fold))

    assert differences(fold, again) == []
    assert dumps(again) == dumps(fold)
    assert set(again.tested) == {"SIM/USD", "SIM2/USD"}
    assert len(again.trials) == 3
    assert again.onnx == fold.onnx


def test_numbers_that_json_has_no_word_for_come_back(fold: Fold) -> None:
    odd = dataclasses.replace(
        fold.trials[0], score=float("nan"), parameters={"a": -0.0, "b": float("-inf"), "c": 5e-324}
    )
    again = loads(dumps(dataclasses.replace(fold, trials=(odd,))))

    assert differences(odd, again.trials[0]) == []


def test_every_damaged_byte_is_found(fold: Fold) -> None:
    content = dumps(fold)
    rng = np.random.default_rng(3)
    for at in {0, BODY - 1, BODY, len(content) - 1, *rng.integers(0, len(content), 20).tolist()}:
        damaged = bytearray(content)
        damaged[at] ^= 1 << int(rng.integers(0, 8))
        with pytest.raises(ModelError, match="a stored fold is damaged"):
            loads(bytes(damaged))


@pytest.mark.parametrize("length", [0, 5, len(MAGIC), BODY, BODY + 100, -1])
def test_a_fold_that_is_cut_off_is_refused(fold: Fold, length: int) -> None:
    with pytest.raises(ModelError, match="a stored fold is damaged"):
        loads(dumps(fold)[:length])


class Evil:
    """Would run code when it is unpickled."""

    def __reduce__(self) -> Any:  # noqa: ANN401
        return pytest.fail, ("a pickle was read",)


def forged(tree: object, **members: Any) -> bytes:  # noqa: ANN401
    stream = io.BytesIO()
    encoded = np.frombuffer(json.dumps(tree).encode(), np.uint8)
    np.savez(stream, tree=encoded, **members)
    return MAGIC + hashlib.sha256(stream.getvalue()).digest() + stream.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        pickle.dumps(Evil()),
        forged({"object": ["Popen", {"args": "true"}]}),
        forged({"object": ["Window", {"start_at": 1, "end_at": 2}]}),
        forged({"object": ["Window", {"start_at": 1}]}),
        forged({"object": ["Window", {"start_at": 1, "end_at": "never"}]}),
        forged({"eval": "1"}),
        forged({"array": 7}),
        forged({"array": 0}, **{"0": np.array([Evil()], dtype=object)}),
    ],
    ids=["pickle", "unknown", "no fold", "fields", "types", "word", "missing", "objects"],
)
def test_what_is_no_fold_is_refused(content: bytes) -> None:
    with pytest.raises(ModelError, match="a stored fold is damaged"):
        loads(content)


@pytest.mark.parametrize(
    "value", [{1, 2}, np.array([None]), {1: 2}, Evil(), np.int64(3)], ids=["set", "objects", "keys", "class", "scalar"]
)
def test_what_is_not_known_is_not_written(fold: Fold, value: object) -> None:
    with pytest.raises(ModelError, match="which cannot be stored"):
        dumps(dataclasses.replace(fold, trials=(dataclasses.replace(fold.trials[0], parameters={"a": value}),)))


def test_a_class_that_only_has_a_known_name_is_not_written(fold: Fold) -> None:
    class Window(Calibration):
        """Not ours."""

    foreign: Any = Window(slope=1.0, intercept=0.0)
    with pytest.raises(ModelError, match="which cannot be stored"):
        dumps(dataclasses.replace(fold, margin=foreign))
