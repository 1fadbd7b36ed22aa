"""`demo`, `retrain`, `new`: the main job."""

import importlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tidegate.cli.context import Project, open_project, person, served_project
from tidegate.cli.output import AsJson, console, print_json
from tidegate.errors import ConfigurationError, PromotionRefused, ServiceError, TidegateError
from tidegate.pipeline.outcome import Outcome, describe
from tidegate.strategy.symbols import named_symbols, with_symbols
from tidegate.strategy.template import strategy_template

if TYPE_CHECKING:
    from tidegate.pipeline.job import Stopwatch

PANEL = "The main job"
_PREFECTS_LIBRARIES = ("prefect", "httpx", "httpcore", "anyio", "websockets", "uvicorn")
# Fixed times: the demonstration shows the same on every day.
DEMO = (
    ("eurusd-sample", "2018-01-01T00:00:00Z", "1/2 real EUR/USD, hourly, 2017"),
    ("simulated-demo", "2026-11-01T00:00:00Z", "2/2 SIMULATED market with a known edge"),
)
SEEN_BEFORE = (
    "This is right: the model in production comes from an earlier demonstration and has seen this very window. "
    "On bars that it was made with, no fair contest is possible, and without one nothing is replaced. "
    "A later retraining has new bars for both: tidegate retrain simulated-demo --as-of 2026-12-01. "
    "To see the first promotion again, start with other folders for data, runs and mlruns."
)


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(rich_help_panel=PANEL)(demo)
    app.command(rich_help_panel=PANEL)(retrain)
    app.command(rich_help_panel=PANEL)(new)


def demo(*, as_json: AsJson = False) -> None:
    """Show the main job on real bars (refused, honestly) and on a simulated market (promoted).

    1. EUR/USD, hourly, 2017, real: one year of one pair is little evidence, and the gates say so.
    2. A simulated market with a known edge: what a promotion looks like.

    Both go through Prefect and MLflow like every monthly run; the results stay in mlruns/, data/ and runs/.
    """
    outcomes: list[Outcome] = []
    with served_project(quiet=as_json) as project:
        for strategy, as_of, title in DEMO:
            found = _run(project, strategy, as_of, title, quiet=as_json)
            outcomes += found
            if not as_json:
                for outcome in found:
                    _show(outcome)
                    if was_seen_before(outcome):
                        console.print(f"  [yellow]{SEEN_BEFORE}[/]", soft_wrap=True)
    if as_json:
        print_json(outcomes)
        return
    console.print("\n[bold]What to look at next[/]")
    console.print("  the two reports above, in a browser")
    console.print(
        "  [cyan]tidegate up[/]: MLflow's UI to compare the runs (choose Model training at its top left), Prefect's UI with the runs and the "
        "monthly schedule",
        soft_wrap=True,
    )
    console.print("  [cyan]tidegate history simulated-demo[/]: the promotion ledger")
    console.print(
        "  [cyan]tidegate serve simulated-demo --clock bars[/]: the model over HTTP, as a bot asks it", soft_wrap=True
    )
    console.print("  [cyan]tidegate new NAME[/]: a strategy file of your own\n")


def was_seen_before(outcome: Outcome) -> bool:
    """Whether a simulated model was refused since the model in production has seen its test window, as in every second demonstration."""
    return outcome["kind"] == "simulated" and any("has seen this window" in refusal for refusal in outcome["refusals"])


def retrain(
    strategy: Annotated[str, typer.Argument(help="Name of a strategy, or the path of its file.")],
    *,
    as_of: Annotated[str | None, typer.Option(help="Look at no bar that closed later; ISO 8601. Default: now.")] = None,
    symbols: Annotated[
        str | None, typer.Option(help="Symbols in place of the file's, such as BTC/USDT,ETH/USDT.")
    ] = None,
    direct: Annotated[bool, typer.Option("--direct", help="Without Prefect: same stages, no run in its UI.")] = False,
    require_promotion: Annotated[
        bool, typer.Option("--require-promotion", help="Exit with 5 when the model was refused.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Validate, train on 90 days, test out of sample with costs, judge, register, promote or refuse, report.

    A refusal is a normal outcome: the exit code is 0 unless --require-promotion is given. With --symbols the strategy is as if its file
    named these: one model for all of them, or one each, as `combine` says.
    """
    with served_project(quiet=as_json) as project:
        outcomes = _run(project, strategy, as_of, strategy, quiet=as_json, direct=direct, symbols=symbols)
    if as_json:
        print_json(outcomes)
    else:
        for outcome in outcomes:
            _show(outcome)
    refused = [outcome for outcome in outcomes if outcome["outcome"] != "promoted"]
    if require_promotion and refused and as_json:
        raise typer.Exit(PromotionRefused.exit_code)  # the outcomes were printed; standard output holds one JSON value
    if require_promotion and refused:
        raise PromotionRefused(f"{refused[0]['strategy']} was not promoted", actual=refused[0]["message"])


def new(
    name: Annotated[str, typer.Argument(help="The strategy's id: lower case, digits and dashes.")],
    *,
    symbol: Annotated[str, typer.Option(help="What is traded, such as BTC/USDT.")] = "BTC/USDT",
    interval: Annotated[str, typer.Option(help="The bars' interval, such as 5m or 1h.")] = "1h",
    source: Annotated[str, typer.Option(help="file, dump, freqtrade, ccxt or simulated.")] = "file",
    path: Annotated[
        str, typer.Option(help="Where the bars are, for file, dump and freqtrade.")
    ] = "data/raw/{symbol}*.csv",
    as_json: AsJson = False,
) -> None:
    """Write a commented strategy file, ready to edit."""
    content = strategy_template(name, symbol=symbol, interval=interval, source=source, path=path)
    folder = open_project().settings.paths.strategies
    target = folder / f"{name}.yaml"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".new-") as scratch:
        written = Path(scratch) / target.name
        written.write_text(content, encoding="utf-8")
        try:
            os.link(written, target)  # whole or not at all, and never over a file that is there
        except FileExistsError as error:
            raise ConfigurationError(
                f"{target} exists already", next_step="choose another name, or edit that file"
            ) from error
    if as_json:
        print_json({"strategy": name, "path": target})
        return
    console.print(f"wrote {_short(target)}", soft_wrap=True)
    console.print(
        f"next: edit it, then [cyan]tidegate validate {name}[/] and [cyan]tidegate retrain {name}[/]", soft_wrap=True
    )


def _run(
    project: Project,
    strategy: str,
    as_of: str | None,
    title: str,
    *,
    quiet: bool,
    direct: bool = False,
    symbols: str | None = None,
) -> list[Outcome]:
    from tidegate.cli.progress import shown_progress

    found = project.strategy(strategy)
    if symbols is not None:
        found = with_symbols(found, named_symbols(symbols))
    with shown_progress(title, quiet=quiet) as watch:
        if not direct:
            return _run_flow(project, strategy, as_of, watch, symbols)
        from tidegate.pipeline.job import make_job
        from tidegate.pipeline.retrain import retrain_all

        job = make_job(found, project.settings, project.root, as_of=as_of, actor=person(), watch=watch)
        return [describe(retrained) for retrained in retrain_all(job)]


def _run_flow(
    project: Project, strategy: str, as_of: str | None, watch: "Stopwatch", symbols: str | None
) -> list[Outcome]:
    """Run the Prefect flow in this process.

    `flows/` is the project's, not the package's, so it is found by name in the project's folder, as Prefect itself finds it.
    """
    if not (project.root / "flows" / "retrain.py").exists():
        raise ConfigurationError(
            f"{project.root} has no flows/retrain.py",
            next_step="run in the project's folder, set TIDEGATE_ROOT, or use --direct",
        )
    from tidegate.services.at_hand import flow_variables

    # What goes wrong comes out as one message below; Prefect would print each traceback several times before that.
    quiet = {"PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL"}
    os.environ.update(flow_variables(project.settings, quiet | dict(os.environ)))
    with prefect_errors():
        flow: Any = importlib.import_module("flows.retrain")
        outcomes: list[Outcome] = flow.run(strategy, as_of, watch, symbols)
        return outcomes


@contextmanager
def prefect_errors() -> Iterator[None]:
    """Tell Prefect's own failures as a ServiceError. What a flow's body raised on purpose comes out as itself, wrapped or not.

    Raises:
        TidegateError: what the flow's body raised, or a ServiceError where Prefect did not start, answer or finish.
    """
    try:
        yield
    except Exception as error:
        told = _raised_on_purpose(error)
        if told is not None:
            raise told from None if told is error else error
        if not _is_prefects(error):
            raise
        line = " ".join(str(error).split())[:300] or type(error).__name__
        raise ServiceError(
            f"Prefect could not run the flow: {line}",
            setting="prefect",
            next_step="run the command again, with --direct to do without Prefect, or start the servers first (`tidegate up`); "
            "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL=ERROR shows Prefect's own log",
        ) from error


def _raised_on_purpose(error: BaseException | None) -> TidegateError | None:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, TidegateError):
            return error
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return None


def _is_prefects(error: Exception) -> bool:
    """Whether an error comes from Prefect or the libraries it talks through, rather than from the flow's body."""
    home = type(error).__module__.partition(".")[0]
    return home in _PREFECTS_LIBRARIES or (type(error) is RuntimeError and "prefect" in str(error).lower())


def _show(outcome: Outcome) -> None:
    promoted = outcome["outcome"] == "promoted"
    colour, word = ("green", "PROMOTED") if promoted else ("red", "REFUSED")
    simulated = " [bold yellow](SIMULATED market)[/]" if outcome["kind"] == "simulated" else ""
    console.print(f"\n[bold {colour}]{word}[/] {outcome['strategy']} v{outcome['version']}{simulated}")
    # Without a refusal of the gates, what came after them refused: the checklist, the backup, a halt, a window.
    if promoted or not outcome["refusals"]:
        console.print(f"  {outcome['message']}", soft_wrap=True, markup=False)
    for refusal, change in zip(outcome["refusals"], outcome["changes"], strict=True):
        console.print(f"  - {refusal}", soft_wrap=True, markup=False)
        if change:
            console.print(f"    {change}", soft_wrap=True, markup=False, style="dim")
    told = ", ".join(f"{name.removeprefix('policy.')} {word}" for name, word in outcome["verdicts"].items())
    if told:
        console.print(f"  policies would say: {told}; {outcome['policy']} decides", soft_wrap=True, markup=False)
    metrics = outcome["metrics"]
    shown = (
        ("win rate", "win_rate", "{:.1%}"),
        ("Sharpe", "sharpe", "{:.2f}"),
        ("drawdown", "max_drawdown", "{:.1%}"),
        ("trades", "trades", "{:.0f}"),
    )
    parts = [f"{title} {form.format(metrics[name])}" for title, name, form in shown if metrics.get(name) is not None]
    console.print(f"  {', '.join(parts)} out of sample, net of costs", soft_wrap=True)
    console.print(f"  report {_short(Path(outcome['report']))}", soft_wrap=True)
    total = sum(outcome["seconds"].values())
    stages = ", ".join(f"{name} {seconds:.1f}" for name, seconds in outcome["seconds"].items())
    console.print(f"  [dim]{total:.1f} s: {stages}[/]", soft_wrap=True)


def _short(path: Path) -> Path:
    try:
        return path.relative_to(Path.cwd())
    except ValueError:
        return path
