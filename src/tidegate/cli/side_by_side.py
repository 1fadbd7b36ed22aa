"""Two versions side by side for people: what differs, in units, rounded."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Pair = tuple[Any, Any]
_MEASURES = ("ms", "bps")


@dataclass(frozen=True, slots=True)
class Comparison:
    """One table."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[object, ...]]


def comparison_tables(found: Mapping[str, Any], a: int, b: int, *, everything: bool = False) -> list[Comparison]:
    """Tables for the terminal.

    Args:
        found: what `registry.comparison.compare` gives.
        a: number of the first version.
        b: number of the second version.
        everything: show all metrics and parameters, not only the main metrics and the parameters that differ.
    """
    versions = (f"v{a}", f"v{b}")
    tables = [
        Comparison("Versions", ("", *versions), _facts(found["versions"], found["windows"])),
        Comparison("Gates", ("gate", "wanted", *versions), _gates(found["gates"])),
        Comparison("Out of sample, net of costs", ("metric", *versions), _metrics(found["metrics"], everything)),
    ]
    title = "Parameters" if everything else "Parameters that differ"
    parameters: list[tuple[object, ...]] = [
        (name, _number(first), _number(second))
        for name, (first, second) in found["params"].items()
        if everything or first != second
    ]
    tables.append(Comparison(title, ("parameter", *versions), parameters))
    return [table for table in tables if table.rows]


def sameness(found: Mapping[str, Any]) -> str:
    """One sentence on what both versions share."""
    features = "the same features" if found["same_features"] else "other features"
    bars = "the same bars" if found["same_data"] else "other bars"
    return f"Both have {features}, trained on {bars}." if features == bars else f"They have {features} and {bars}."


def _facts(versions: Mapping[str, Pair], windows: Mapping[str, Pair]) -> list[tuple[object, ...]]:
    from tidegate.report.formats import moment, span

    def both(pairs: Mapping[str, Pair], name: str) -> Pair:
        first, second = pairs.get(name, (None, None))
        return first, second

    def spans(first: str, last: str) -> tuple[str, str]:
        (a_from, b_from), (a_to, b_to) = both(windows, first), both(windows, last)
        return span(a_from, a_to), span(b_from, b_to)

    return [
        ("registered", *map(moment, both(versions, "created_at"))),
        ("aliases", *(", ".join(aliases or ()) or "none" for aliases in both(versions, "aliases"))),
        ("trained on", *spans("train_start_at", "train_end_at")),
        ("tested on", *spans("test_start_at", "test_end_at")),
        ("folds", *both(windows, "folds")),
        ("expires", *map(moment, both(windows, "expires_at"))),
        ("bundle", *(str(digest)[:12] for digest in both(versions, "manifest_digest"))),
        ("MLflow run", *(str(run)[:12] for run in both(versions, "run_id"))),
    ]


def _gates(gates: Mapping[str, Pair]) -> list[tuple[object, ...]]:
    from tidegate.gates.specifications import SPECIFICATIONS
    from tidegate.report.formats import SIGNS, quantity

    def cell(result: Mapping[str, Any] | None, unit: str) -> str:
        if result is None:
            return "not judged"
        verdict = str(result["verdict"]).replace("_", " ")
        observed = result["observed"]
        if observed is None:
            return verdict
        shown = _plain(quantity(observed, unit))
        # Things that are counted are named once, in the column of what is wanted.
        return f"{verdict}  {shown.removesuffix(f' {unit}') if unit not in _MEASURES else shown}"

    rows: list[tuple[object, ...]] = []
    for gate in (each for each in SPECIFICATIONS if each.name in gates):
        first, second = gates[gate.name]
        bounds = [_plain(quantity(one["threshold"], gate.unit)) for one in (first, second) if one is not None]
        wanted = f"{SIGNS[gate.comparison]} {' / '.join(dict.fromkeys(bounds))}"
        rows.append((gate.title, wanted, cell(first, gate.unit), cell(second, gate.unit)))
    return rows


def _metrics(metrics: Mapping[str, Pair], everything: bool) -> list[tuple[object, ...]]:
    from tidegate.backtest.metrics import METRICS
    from tidegate.report.formats import quantity

    rows: list[tuple[object, ...]] = [
        (metric.title, *(_plain(quantity(value, metric.unit)) for value in metrics[metric.name]))
        for metric in METRICS
        if metric.name in metrics
    ]
    known = {metric.name for metric in METRICS}
    if everything:
        rows += [
            (name, *map(_number, pair))
            for name, pair in metrics.items()
            if name not in known and not name.startswith("gate/")
        ]
    return rows


def _number(value: object) -> str:
    """A parameter to six digits; MLflow keeps them all as text."""
    if value is None:
        return "none"
    try:
        return f"{float(str(value)):.6g}"
    except ValueError:
        return str(value)


def _plain(text: str) -> str:
    return text.replace("\u00a0", " ")
