"""The documentation's pictures: which page each shows, and what must be seen on it before it is taken."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from docs.screenshots.browser import HEIGHT, WIDTH, PictureFailed, at_rest, colours, picture
from docs.screenshots.story import PROMOTED, Story
from playwright.sync_api import BrowserContext, Page

FOLDER: Final = Path(__file__).parents[1] / "pictures"
# What a person clicks once in MLflow's interface, and the browser remembers: model training instead of language models, no assistant.
_MLFLOW_CHOICES: Final = {
    "mlflow.workflowType_v1": '"machine_learning"',
    "mlflow.assistant.panelOpen_v1": "false",
    "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": "true",
}
_FEWEST_COLOURS: Final = 8  # a run graph without tasks has a background, lines and digits


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture.

    Attributes:
        name: of the file, without its ending.
        show: brings a page to what is to be seen.
        height: of the window, pixels.
    """

    name: str
    show: Callable[[Page, Story], None]
    height: int = HEIGHT


def take_all(context: BrowserContext, story: Story, folder: Path) -> None:
    """Take every picture anew; those that are no longer taken are deleted.

    Raises:
        PictureFailed: a page shows an error, or not what it should.
    """
    choose = "".join(
        f"localStorage.setItem({json.dumps(key)}, {json.dumps(value)});" for key, value in _MLFLOW_CHOICES.items()
    )
    context.add_init_script(f"if (location.protocol === 'http:') {{ {choose} }}")
    folder.mkdir(parents=True, exist_ok=True)
    for each in PICTURES:
        take(context, each, story, folder)
    for left in set(folder.glob("*.png")) - {folder / f"{each.name}.png" for each in PICTURES}:
        left.unlink()


def take(context: BrowserContext, wanted: Picture, story: Story, folder: Path) -> Path:
    """Take one picture. A page that failed stays open until the browser closes: closing it may wait for what it waits for."""
    page = context.new_page()
    page.set_viewport_size({"width": WIDTH, "height": wanted.height})
    wanted.show(page, story)
    target = folder / f"{wanted.name}.png"
    picture(page, target, height=wanted.height)
    page.close()
    return target


def _mlflow_compare(page: Page, story: Story) -> None:
    runs, experiments = (quote(json.dumps(ids)) for ids in (story.run_ids, (story.experiment_id,)))
    page.goto(f"{story.mlflow}/#/compare-runs?runs={runs}&experiments={experiments}")
    page.get_by_text(f"Comparing {len(story.run_ids)} Runs from 1 Experiment").wait_for()
    page.locator(".js-plotly-plot .parcoords").first.wait_for()
    for heading in ("Run details", "Parameters"):  # the metrics come below them
        page.get_by_role("button", name=heading, exact=True).click()
    page.get_by_text("annual_return", exact=True).first.wait_for()


def _mlflow_charts(page: Page, story: Story) -> None:
    page.goto(f"{story.mlflow}/#/experiments/{story.experiment_id}/runs?compareRunsMode=CHART")
    page.get_by_text("Model metrics").first.wait_for()
    page.locator(".js-plotly-plot").nth(2).wait_for()


def _mlflow_model(page: Page, story: Story) -> None:
    page.goto(f"{story.mlflow}/#/models/{PROMOTED}")
    page.get_by_text("@ production").or_(page.get_by_text("production", exact=True)).first.wait_for()
    page.get_by_text("Version 1", exact=True).wait_for()
    page.get_by_role("button", name="Tags", exact=True).click()  # the versions come below them


def _prefect_run(page: Page, story: Story) -> None:
    page.goto(f"{story.prefect}/runs/flow-run/{story.flow_run_id}")
    page.get_by_text("Completed", exact=True).first.wait_for()
    page.get_by_text("Beginning flow run").wait_for()
    graph = page.locator("canvas").first
    graph.wait_for()
    if colours(at_rest(graph)) < _FEWEST_COLOURS:
        raise PictureFailed("Prefect's run graph is empty")


def _file(choose: Callable[[Story], Path]) -> Callable[[Page, Story], None]:
    """A page of tidegate's own, which is a file."""

    def show(page: Page, story: Story) -> None:
        page.goto(choose(story).as_uri())
        page.locator("h1").first.wait_for()

    return show


PICTURES: Final = (
    Picture("mlflow-compare", _mlflow_compare, 1160),
    Picture("mlflow-charts", _mlflow_charts),
    Picture("mlflow-model", _mlflow_model, 940),
    Picture("prefect-run", _prefect_run),
    Picture("report", _file(lambda story: story.report), 1100),
    Picture("report-refused", _file(lambda story: story.refusal), 1100),
    Picture("calibration", _file(lambda story: story.calibration), 1100),
    Picture("replay", _file(lambda story: story.replay), 1100),
    Picture("checklist", _file(lambda story: story.checklist), 1100),
)
