"""`trials`: how much was tried before a model looked good."""

from typing import TYPE_CHECKING, Annotated

import typer

from tidegate.bars.bars import iso
from tidegate.cli.context import open_project
from tidegate.cli.output import AsJson, console, print_json, print_table

if TYPE_CHECKING:
    from tidegate.registry.looks import Look
    from tidegate.registry.tried import TriedFold

PANEL = "Versions and their ledger"
COLUMNS = ("retrain", "fold", "test window", "trials", "best score", "reads")
LOOKS = ("looked as of", "look", "level", "p-value", "gates")


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel=PANEL)(trials)


def trials(
    strategy: Annotated[str, typer.Argument(help="Name of a strategy, or of one of its models.")],
    *,
    as_json: AsJson = False,
) -> None:
    """How many parameter sets a strategy has had, how often each test window was read, and what each look has spent.

    The more was tried on a window, and the more often it was read, the less a good result on it says. A look spends a part of the year's
    error budget (gates.yearly_error).
    """
    from dataclasses import asdict

    from tidegate.registry.looks import LookLedger
    from tidegate.registry.trials import TrialLedger
    from tidegate.registry.tried import tried_folds

    project = open_project()
    ledger = TrialLedger.from_settings(project.settings)
    names = (strategy,) if ledger.count_trials(strategy) else project.models(strategy)
    found = {name: (ledger.count_trials(name), tried_folds(ledger, name)) for name in names}
    looks = {name: LookLedger(ledger.database).looks(name) for name in names}
    if as_json:
        print_json(
            [
                {
                    "strategy": name,
                    "trials": count,
                    "folds": [asdict(fold) | {"test": _span(fold)} for fold in folds],
                    "looks": [asdict(look) | {"looked_at": iso(look.looked_at)} for look in looks[name]],
                }
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
                fold.retrain_key.removeprefix(f"{name}/"),
                fold.fold + 1,
                " to ".join(map(_short, _span(fold))),
                fold.trials,
                _score(fold.best_score),
                fold.reads,
            )
            for fold in folds
        ]
        print_table(f"{name}: {count} trials", COLUMNS, rows, whole=COLUMNS)
        if looks[name]:
            print_table(
                f"{name}: {len(looks[name])} look{'' if len(looks[name]) == 1 else 's'}",
                LOOKS,
                [_look(look) for look in looks[name]],
                whole=LOOKS[:1],
            )


def _look(look: "Look") -> tuple[str, ...]:
    said = {None: "never got there", True: "promote", False: "refuse"}[look.promote]
    return iso(look.looked_at), look.key[:12], f"{look.level:.3g}", _score(look.p_value), said


def _span(fold: "TriedFold") -> tuple[str, str]:
    return iso(fold.test.start_at), iso(fold.test.end_at)


def _short(moment: str) -> str:
    """A moment by its day where that is all there is to it, so that a table fits into a terminal."""
    return moment.removesuffix("T00:00:00Z")


def _score(score: float | None) -> str:
    return "none" if score is None else f"{score:.4g}"
