"""The key file may change while the service runs."""

import asyncio
import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.serving.http.calling import Border, key_file

from tidegate.errors import ConfigurationError
from tidegate.keys.api_keys import ApiKeys, new_key
from tidegate.serving.http.keyring import KeyRing


async def watched(ring: KeyRing, change: Callable[[], object], seen: Callable[[], bool], looks: int = 300) -> bool:
    """Make a change while the file is watched, and tell whether it is seen."""
    watching = asyncio.create_task(ring.watch())
    try:
        await asyncio.sleep(0.03)
        change()
        for _ in range(looks):
            if seen():
                return True
            await asyncio.sleep(0.01)
        return False
    finally:
        watching.cancel()


def test_a_new_file_replaces_keys_without_a_restart(tmp_path: Path) -> None:
    path, texts = key_file(tmp_path, old=["predict"])
    ring = KeyRing(path, look_s=0.01)
    text, key = new_key("new", ["predict"], created_at=0)
    assert asyncio.run(watched(ring, lambda: ApiKeys([key]).write(path), lambda: ring.identify(text) is not None))
    assert ring.identify(texts["old"]) is None
    assert ring.note is None


def test_a_broken_file_keeps_the_keys_before_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path, texts = key_file(tmp_path, bot=["predict"])
    ring = KeyRing(path, look_s=0.01)
    border = Border(keys=ring)
    good = path.read_bytes()
    with caplog.at_level(logging.ERROR):
        assert asyncio.run(watched(ring, lambda: path.write_text("keys: ["), lambda: ring.note is not None))
    assert ring.identify(texts["bot"]) is not None
    told = border.ask("GET", "/readyz")
    assert told.status == 200
    assert b"the keys before go on" in told.body
    assert str(path).encode() not in told.body
    with caplog.at_level(logging.ERROR):
        asyncio.run(watched(ring, lambda: None, lambda: False, looks=10))
    assert len(caplog.records) == 1, "a broken file is told once, not at every look"
    assert asyncio.run(watched(ring, lambda: path.write_bytes(good), lambda: ring.note is None))


def test_rights_that_were_mended_are_noticed(tmp_path: Path) -> None:
    path, texts = key_file(tmp_path, old=["predict"])
    ring = KeyRing(path, look_s=0.01)
    text, key = new_key("new", ["predict"], created_at=0)

    def open_to_all() -> None:
        ApiKeys([key]).write(path)
        path.chmod(0o666)

    assert asyncio.run(watched(ring, open_to_all, lambda: ring.note is not None))
    assert ring.identify(texts["old"]) is not None
    assert asyncio.run(watched(ring, lambda: path.chmod(0o600), lambda: ring.note is None))
    assert (ring.identify(texts["old"]), ring.identify(text) is not None) == (None, True)


def test_a_file_that_is_taken_away_keeps_the_keys_before(tmp_path: Path) -> None:
    path, texts = key_file(tmp_path, bot=["predict"])
    ring = KeyRing(path, look_s=0.01)
    assert asyncio.run(watched(ring, path.unlink, lambda: ring.note is not None))
    assert ring.identify(texts["bot"]) is not None


def test_a_link_that_points_elsewhere_is_a_change(tmp_path: Path) -> None:
    one, first = key_file(tmp_path / "one", bot=["predict"])
    two, second = key_file(tmp_path / "two", bot=["predict"])
    link = tmp_path / "keys.yaml"
    link.symlink_to(one)
    ring = KeyRing(link, look_s=0.01)
    assert ring.identify(first["bot"]) is not None

    def swap() -> None:
        (tmp_path / "next").symlink_to(two)
        os.replace(tmp_path / "next", link)  # noqa: PTH105  a link, not what it points to

    assert asyncio.run(watched(ring, swap, lambda: ring.identify(second["bot"]) is not None))
    assert ring.identify(first["bot"]) is None


def test_a_key_ends_at_its_time(tmp_path: Path) -> None:
    text, key = new_key("bot", ["predict"], created_at=0, expires_at=1000)
    ApiKeys([key]).write(tmp_path / "keys.yaml")
    now = [999]
    ring = KeyRing(tmp_path / "keys.yaml", now_ms=lambda: now[0])
    assert ring.identify(text) is not None
    now[0] = 1000
    assert ring.identify(text) is None


def test_a_broken_file_at_the_start_ends_it(tmp_path: Path) -> None:
    (tmp_path / "keys.yaml").write_text("keys: [")
    with pytest.raises(ConfigurationError):
        KeyRing(tmp_path / "keys.yaml")


def test_without_a_file_nobody_is_asked_and_nobody_is_known() -> None:
    ring = KeyRing(None)
    assert not ring.required
    assert ring.identify("tg_bot_x") is None
    asyncio.run(asyncio.wait_for(ring.watch(), 1))
