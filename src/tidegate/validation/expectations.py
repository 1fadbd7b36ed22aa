"""The second opinion: Great Expectations over the same constraint table. The only home of that library.

It is imported inside functions (3 s). Everything stays in memory but the data docs: no project folder, no home folder, no network.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from tidegate.bars.bars import COLUMNS, Bars
from tidegate.settings.settings import Validation
from tidegate.validation.constraints import (
    Ascending,
    AtLeast,
    Bounded,
    Constraint,
    Finite,
    OnGrid,
    Present,
    Relation,
    comparable_times,
    constraints,
)
from tidegate.validation.finding import SHOWN_ROWS, effective_severity

if TYPE_CHECKING:
    from great_expectations.core import ExpectationValidationResult
    from great_expectations.data_context import EphemeralDataContext
    from great_expectations.expectations.expectation import Expectation

GRID_COLUMN: Final = "off_grid_ms"
_FRAME_COLUMNS: Final = (*COLUMNS, GRID_COLUMN)
_SEVERITIES: Final = {"fatal": "critical", "quarantine": "warning", "warn": "info"}
_RESULT_FORMAT: Final = {"result_format": "SUMMARY", "partial_unexpected_count": SHOWN_ROWS}


@dataclass(frozen=True, slots=True)
class ExpectationResult:
    """What one expectation said about the raw bars.

    Attributes:
        name: the constraint's name, or of a schema expectation `columns`, `row_count` or `<column>_type`.
        rule: the validation setting that says what a failure means.
        description: what was expected, for people.
        success: whether every row met it.
        unexpected_count: rows that did not; 0 for the schema.
        unexpected_rows: the first 20 of them, counted from 0.
        observed: what was seen instead, where the expectation is about the whole table.
        error: the exception's text if the expectation could not be evaluated, else None.
    """

    name: str
    rule: str
    description: str
    success: bool
    unexpected_count: int
    unexpected_rows: tuple[int, ...]
    observed: str | None
    error: str | None

    def summary(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "name": self.name,
            "rule": self.rule,
            "description": self.description,
            "success": self.success,
            "unexpected_count": self.unexpected_count,
            "unexpected_rows": list(self.unexpected_rows),
            "observed": self.observed,
            "error": self.error,
        }


@dataclass(frozen=True, slots=True)
class ExpectationOutcome:
    """All expectations' results over the raw bars.

    Attributes:
        success: whether every expectation was met; rows that are quarantined later make it false.
        results: one for each expectation.
        docs_index: first page of the data docs, if they were asked for.
    """

    success: bool
    results: tuple[ExpectationResult, ...]
    docs_index: Path | None

    def summary(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "success": self.success,
            "evaluated": len(self.results),
            "failed": sum(not result.success for result in self.results),
            "results": [result.summary() for result in self.results],
        }


def expected_constraints(bars: Bars, rules: Validation, as_of_ms: int) -> tuple[Constraint, ...]:
    """The table's constraints whose rule is not switched off."""
    table = constraints(bars.interval, as_of_ms)
    return tuple(constraint for constraint in table if effective_severity(constraint.rule, rules) != "off")


def expect(bars: Bars, rules: Validation, as_of_ms: int, docs_folder: Path | None = None) -> ExpectationOutcome:
    """Run the constraint table and the schema through Great Expectations.

    Args:
        bars: n raw bars in any state, in their original order.
        rules: severities; a rule that is off is not expected.
        as_of_ms: the time of validation, UTC ms.
        docs_folder: where to write the data docs, readable without a network; None for none.
    """
    import great_expectations as gx

    from tidegate.frames import numbered_frame

    context = gx.get_context(mode="ephemeral")
    context.enable_analytics(False)
    context.variables.progress_bars = {"globally": False}
    asset = context.data_sources.add_pandas("bars").add_dataframe_asset("bars")
    batch = asset.add_batch_definition_whole_dataframe("raw")
    suite = context.suites.add(gx.ExpectationSuite("bars", expectations=_expectations(bars, rules, as_of_ms)))
    definition = context.validation_definitions.add(gx.ValidationDefinition(name="bars", data=batch, suite=suite))
    checkpoint = context.checkpoints.add(
        gx.Checkpoint(name="bars", validation_definitions=[definition], result_format=_RESULT_FORMAT)
    )
    columns = {name: getattr(bars, name) for name in COLUMNS} | {
        "opened_at": comparable_times(bars),
        GRID_COLUMN: np.asarray(bars.opened_at % bars.interval.milliseconds),
    }
    run = checkpoint.run(batch_parameters={"dataframe": numbered_frame(columns)})
    (validated,) = run.run_results.values()
    results = tuple(_result(result) for result in validated.results)
    index = None if docs_folder is None else _write_docs(context, docs_folder, bars, results)
    return ExpectationOutcome(bool(validated.success) and all(r.success for r in results), results, index)


def _expectations(bars: Bars, rules: Validation, as_of_ms: int) -> list["Expectation"]:
    """The schema's expectations and one for each constraint, which carries its name and rule."""
    expectations = [
        _expectation_of(
            constraint.relation,
            description=constraint.description,
            severity=_SEVERITIES[effective_severity(constraint.rule, rules)],
            meta={"name": constraint.name, "rule": constraint.rule, "description": constraint.description},
        )
        for constraint in expected_constraints(bars, rules, as_of_ms)
    ]
    if effective_severity("columns", rules) == "off":
        return expectations
    return [*_schema_expectations(_SEVERITIES[effective_severity("columns", rules)]), *expectations]


def _schema_expectations(severity: str) -> list["Expectation"]:
    import great_expectations.expectations as gxe

    def carried(name: str, description: str) -> dict[str, Any]:
        meta = {"name": name, "rule": "columns", "description": description}
        return {"description": description, "severity": severity, "meta": meta}

    types = {name: "int64" if name == "opened_at" else "float64" for name in COLUMNS}
    return [
        gxe.ExpectTableColumnsToMatchOrderedList(
            column_list=list(_FRAME_COLUMNS), **carried("columns", f"columns are {', '.join(_FRAME_COLUMNS)}")
        ),
        gxe.ExpectTableRowCountToBeBetween(min_value=1, **carried("row_count", "there is at least one bar")),
        *(
            gxe.ExpectColumnValuesToBeOfType(column=name, type_=kind, **carried(f"{name}_type", f"{name} is {kind}"))
            for name, kind in types.items()
        ),
    ]


def _expectation_of(relation: Relation, **carried: object) -> "Expectation":
    """The expectation that a relation stands for."""
    import great_expectations.expectations as gxe

    match relation:
        case Present(column):
            return gxe.ExpectColumnValuesToNotBeNull(column=column, **carried)
        case Finite(column):
            limit = float(np.finfo(np.float64).max)
            return gxe.ExpectColumnValuesToBeBetween(column=column, min_value=-limit, max_value=limit, **carried)
        case Bounded(column, minimum, maximum, above):
            return gxe.ExpectColumnValuesToBeBetween(
                column=column, min_value=minimum, max_value=maximum, strict_min=above, **carried
            )
        case AtLeast(greater, lesser):
            return gxe.ExpectColumnPairValuesAToBeGreaterThanB(
                column_A=greater, column_B=lesser, or_equal=True, ignore_row_if="either_value_is_missing", **carried
            )
        case OnGrid():
            return gxe.ExpectColumnValuesToBeBetween(column=GRID_COLUMN, min_value=0, max_value=0, **carried)
        case Ascending():
            return gxe.ExpectColumnValuesToBeIncreasing(column="opened_at", strictly=True, **carried)
        case _:
            raise TypeError(f"no expectation stands for {relation!r}")


def _result(result: "ExpectationValidationResult") -> ExpectationResult:
    meta = result.expectation_config.meta
    details = result.result
    observed = details.get("observed_value")
    failure = result.exception_info or {}
    raised = failure.get("exception_message") if "raised_exception" in failure else failure or None
    return ExpectationResult(
        name=meta["name"],
        rule=meta["rule"],
        description=meta["description"],
        success=bool(result.success),
        unexpected_count=int(details.get("unexpected_count", 0)),
        unexpected_rows=tuple(int(row) for row in details.get("partial_unexpected_index_list") or ()),
        observed=None if observed is None else str(observed),
        error=None if raised is None else str(raised),
    )


def _write_docs(
    context: "EphemeralDataContext", folder: Path, bars: Bars, results: tuple[ExpectationResult, ...]
) -> Path:
    from tidegate.validation.data_docs import Line, clear, make_readable_offline

    folder = folder.resolve()
    clear(folder)
    store = {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(folder)}
    site = {"class_name": "SiteBuilder", "show_how_to_buttons": False, "store_backend": store}
    context.add_data_docs_site("local", {**site, "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"}})
    # Without names GE would also build its default site in the temp folder.
    context.build_data_docs(site_names=["local"])
    failed = sum(not result.success for result in results)
    verdict = f"{len(results) - failed} of {len(results)} expectations met by {len(bars)} raw bars"
    lines = [Line(result.success, result.description, f"validation.{result.rule}", _rows(result)) for result in results]
    return make_readable_offline(folder, f"{bars.symbol} {bars.interval}", verdict, lines)


def _rows(result: ExpectationResult) -> str:
    if result.success:
        return ""
    if not result.unexpected_count:
        return result.error or f"was {result.observed}"
    more = ", ..." if result.unexpected_count > len(result.unexpected_rows) else ""
    return f"{result.unexpected_count}: row {', '.join(map(str, result.unexpected_rows))}{more}"
