"""What can go wrong between a bot and its service, each as a fault for the proxy."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

from tests.e2e.bot.fault_proxy import Fault, Passage, passes

PREDICT = "/v1/predict"
Answer = dict[str, Any]


async def reset(passage: Passage) -> None:
    """The connection is reset when the request is there."""
    passage.reset()


async def black_hole(passage: Passage) -> None:
    """The request is taken, and nothing ever comes back."""
    await passage.switched.wait()
    passage.hang_up()


def slow(seconds: float) -> Fault:
    """The answer comes late."""

    async def late(passage: Passage) -> None:
        reply = await passage.ask()
        await asyncio.sleep(seconds)
        await passage.answer(reply)

    return late


async def drip(passage: Passage) -> None:
    """The answer comes a byte at a time."""
    reply = await passage.ask()
    for at in range(len(reply.head + reply.body)):
        await passage.send((reply.head + reply.body)[at : at + 1])
        await asyncio.sleep(0.02)


def status(code: int, name: str, *headers: str) -> Fault:
    """A problem in place of an answer; the service never sees the question."""

    async def problem(passage: Passage) -> None:
        content = {"type": f"urn:tidegate:problem:{name}", "title": name, "status": code, "detail": "by the test"}
        body = json.dumps(content).encode()
        lines = [f"HTTP/1.1 {code} {name}", "Content-Type: application/problem+json", *headers]
        head = "\r\n".join([*lines, f"Content-Length: {len(body)}"])
        await passage.send(head.encode() + b"\r\n\r\n" + body)

    return problem


async def garbled_body(passage: Passage) -> None:
    """A good head, and a body that is no JSON."""
    reply = await passage.ask()
    await passage.answer(reply.with_body(bytes(range(256))))


async def garbled_head(passage: Passage) -> None:
    """What comes is not HTTP at all."""
    await passage.send(b"\x00\x16\x03 not the protocol\r\n\r\n" * 8)
    passage.hang_up()


async def truncated(passage: Passage) -> None:
    """The connection ends in the middle of the body."""
    reply = await passage.ask()
    await passage.send(reply.head + reply.body[: len(reply.body) // 2])
    passage.hang_up()


def rewritten(change: Callable[[Answer, Answer], object]) -> Fault:
    """A good answer, changed: `change` is given the whole answer and the one of the symbol."""

    async def wrong(passage: Passage) -> None:
        reply = await passage.ask()
        content = json.loads(reply.body)
        # Where there is no answer but a problem, as of an unknown window, that is what the bot shall see.
        if "answers" in content:
            change(content, content["answers"][0])
        await passage.answer(reply.with_body(json.dumps(content).encode()))

    return wrong


async def replayed(passage: Passage) -> None:
    """The last good answer once more, as a broken cache gives it."""
    await passage.ask()
    await passage.answer(passage.passed[passage.path])


async def replayed_as_mine(passage: Passage) -> None:
    """The same with the request id of each question, as a cache that hides itself."""
    reply = await passage.ask()
    old = json.loads(passage.passed[passage.path].body)
    old["request_id"] = json.loads(reply.body)["request_id"]
    await passage.answer(reply.with_body(json.dumps(old).encode()))


def only_first(fault: Fault) -> Fault:
    """Only the first request since the switch suffers."""

    async def once(passage: Passage) -> None:
        await (fault if passage.number == 1 else passes)(passage)

    return once


def wrong_version(_whole: Answer, answer: Answer) -> None:
    """A version that the service does not describe."""
    answer["version"] = 99


def stale(_whole: Answer, answer: Answer) -> None:
    """Data of ten minutes ago, by the service's clock."""
    answer["data_age_ms"] += 600_000


def earlier_bar(_whole: Answer, answer: Answer) -> None:
    """An answer about the bar before."""
    answer["bar_closed_at"] -= 900_000


def expired(_whole: Answer, answer: Answer) -> None:
    """An answer whose time is over."""
    answer["valid_until"] = answer["bar_closed_at"]


def other_window(_whole: Answer, answer: Answer) -> None:
    """An answer about other bars than the bot's."""
    answer["input_digest"] = "0" * 64


def turned_around(_whole: Answer, answer: Answer) -> None:
    """Another target than the probability asks for."""
    answer["target_position"] = -1 if answer["target_position"] == 1 else 1


def not_logged(whole: Answer, _answer: Answer) -> None:
    """An answer that is not durable."""
    whole["logged"] = False


def not_a_number(_whole: Answer, answer: Answer) -> None:
    """A probability that is none, as careless JSON has it."""
    answer["probability"] = float("nan")
