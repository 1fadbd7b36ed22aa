"""Looks for the page's tests, made by hand."""

from tidegate.checklist.items import Item
from tidegate.checklist.result import Line, Looked, MlTestScore, State

AT = 1_790_000_000_000


def line(
    name: str,
    state: State,
    *,
    text: str = "",
    evidence: str = "told",
    link: str = "",
    blocks: str = "nothing",
    **answer: object,
) -> Line:
    """A line in a state."""
    who = answer or ({"manual": 30} if state in {"signed", "unsigned"} else {"probe": "p"})
    item = Item.model_validate({"id": name, "text": text or f"Text of {name}", "blocks": blocks, **who})
    outer = name.partition(".")[0].capitalize()
    return Line(item, (outer, "Inner"), state, evidence, link, AT)


def looked(*lines: Line, score: MlTestScore | None = None, strategy: str = "eurusd-sample") -> Looked:
    """A look with these lines."""
    return Looked(strategy, 3, AT, 1.25, lines, score)


ALL = looked(
    line("model.one", "pass", link="http://127.0.0.1:5000/#/models/x", blocks="promotion"),
    line("model.two", "fail", text="Win rate: <58%> & more", evidence="v3: 51.00 % at 2026-11-30 10:00 UTC | <script>alert(1)</script>", blocks="deployment"),
    line("model.three", "not_measured", evidence="set logs.file"),
    line("people.four", "signed", evidence="Ada, until 2027-01-01: seen"),
    line("people.five", "unsigned", blocks="deployment"),
    score=MlTestScore((("data", 3.0), ("model", 2.5), ("infrastructure", 4.0), ("monitoring", 5.0)), (line("score.data.schema", "pass"),), 2.5, "reasonably tested"),
)  # fmt: skip
