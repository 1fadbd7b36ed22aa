"""`trials`: how much was tried before a model looked good."""

from typing import TYPE_CHECKING, Annotated

import typer

from tidegate.bars.bars import iso
from tidegate.cli.context import open_project
from tidegate.cli.output import AsJson, console, print_json, print_table

if TYPE_CHECKING:
    from tidegate.registry.tried import TriedFold

PANEL = "Versions and their ledger"
COLUMNS = ("retrain", "fold", "test window", "trials", "best score", "reads")


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel=PANEL)(trials)


def trials(
    strategy: Annotated[str, typer.Argument(help="Name of a strategy, or of one of its models.")],
    *,
    as_json: AsJson = False,
) -> None:
    """How many parameter sets a strategy has had, by retraining and fold, and how often each test window was read.

    The more was tried on a window, and the more often it was read, the less a good result on it says.
    """
    from dataclasses import asdict

    from tidegate.registry.trials import TrialLedger
    from tidegate.registry.tried import tried_folds

    project = open_project()
    ledger = TrialLedger.from_settings(project.settings)
    names = (strategy,) if ledger.count_trials(strategy) else project.models(strategy)
    found = {name: (ledger.count_trials(name), tried_folds(ledger, name)) for name in names}
    if as_json:
        print_json(
            [
                {"strategy": name, "trials": count, "folds": [asdict(fold) | {"test": _span(fold)} for fold in folds]}
                for name, (count, folds) in found.items()
            ]
        )
        return
    for name, (count, folds) in found.items():
        if not folds:
            console.print(f"{name} has no trials; [cyan]tidegate retrain {strategy}[/] makes some", soft_wrap=True)
            continue
        rows = [
            (
                fold.retrain_key,
                fold.fold + 1,
                " to ".join(_span(fold)),
                fold.trials,
                _score(fold.best_score),
                fold.reads,
            )
            for fold in folds
        ]
        print_table(f"{name}: {count} trials", COLUMNS, rows, whole=COLUMNS[:1])


def _span(fold: "TriedFold") -> tuple[str, str]:
    return iso(fold.test.start_at), iso(fold.test.end_at)


def _score(score: float | None) -> str:
    return "none" if score is None else f"{score:.4g}"
