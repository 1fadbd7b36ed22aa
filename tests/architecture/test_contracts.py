"""Each contract of docs/contracts is what the code does: schemas and tables generated from it, columns held against what it writes."""

import copy
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # comes with Prefect and MLflow
import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from tests.registry_factories import NOW, REAL, FakeVersions, decision, manifest

from docs import generate
from tidegate.backtest.metrics import METRICS
from tidegate.backtest.regimes import REGIMES
from tidegate.backtest.result import Backtest, Trades
from tidegate.bars.bars import COLUMNS, Bars
from tidegate.gates.evaluation import decide, evaluate
from tidegate.gates.result import Decision
from tidegate.gates.specifications import SPECIFICATIONS
from tidegate.model.bundle import golden_bytes
from tidegate.model.manifest import GoldenVector, Manifest
from tidegate.pipeline.files import write_out_of_sample, write_signals, write_trial
from tidegate.pipeline.fold import Trial
from tidegate.policy.policy import PositionPolicy, PositionState
from tidegate.registry.database import Database
from tidegate.registry.ledger import Ledger
from tidegate.registry.promotion import Promoter
from tidegate.strategy.gates import Gates
from tidegate.strategy.strategy import Monitor, Rollback, Strategy

ROOT = Path(__file__).parents[2]
CONTRACTS = ROOT / "docs" / "contracts"
HOUR = 3_600_000


def schema(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((CONTRACTS / f"{name}.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(found)
    return found


def refused(instance: object, by: dict[str, Any]) -> bool:
    return not jsonschema.Draft202012Validator(by).is_valid(instance)


def tables(page: str) -> dict[str, list[list[str]]]:
    """The rows of the table below each heading, cell by cell; the heading's name stands in backticks, or is the heading itself."""
    found = {}
    for section in re.split(r"^#+ ", (CONTRACTS / page).read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        heading = section.splitlines()[0]
        name = heading.split("`")[1] if "`" in heading else heading
        rows = re.findall(r"^\| (.+) \|$", section, flags=re.MULTILINE)[1:]
        found[name] = [[cell.strip().strip("`") for cell in row.split(" | ")] for row in rows]
    return found


@pytest.mark.parametrize("page", [*generate.WHOLE, *generate.TABLES])
def test_generated_pages_are_up_to_date(page: str) -> None:
    assert page not in generate.stale(), "python -m docs.generate --write"


def test_a_stale_page_is_noticed_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(generate, "DOCS", tmp_path)
    monkeypatch.setattr(generate, "WHOLE", {"a.md": lambda: "new\n", "b.md": lambda: "same\n"})
    monkeypatch.setattr(generate, "TABLES", {"c.md": lambda: "| row |"})
    (tmp_path / "b.md").write_text("same\n")
    (tmp_path / "c.md").write_text(f"by hand\n{generate.BEGIN}\nold\n{generate.END}\nby hand too\n")

    assert generate.main([]) == 1
    assert capsys.readouterr().out == "stale docs/a.md\nstale docs/c.md\n"
    assert generate.main(["--write"]) == 0
    assert generate.main([]) == 0
    assert (tmp_path / "a.md").read_text() == "new\n"
    assert (tmp_path / "c.md").read_text() == (f"by hand\n{generate.BEGIN}\n\n| row |\n\n{generate.END}\nby hand too\n")


def test_a_page_without_its_marks_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generate, "DOCS", tmp_path)
    (tmp_path / "gates.md").write_text(f"{generate.BEGIN}\nno end\n")
    monkeypatch.setattr(generate, "TABLES", {"gates.md": lambda: ""})
    with pytest.raises(ValueError, match=r"gates\.md needs one line"):
        generate.expected("gates.md")


@pytest.mark.parametrize("name", ["eurusd-sample", "simulated-demo"])
def test_strategy_files_satisfy_their_schema(name: str) -> None:
    content = yaml.safe_load((ROOT / "configs" / "strategies" / f"{name}.yaml").read_text(encoding="utf-8"))
    by = schema("strategy-file")
    jsonschema.validate(content, by)
    whole = Strategy.model_validate(content).model_dump(mode="json")
    jsonschema.validate(whole, by)


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"kind": "paper"},
        {"symbols": []},
        {"unknown": 1},
        {"windows": {"train_days": 59}},
        {"source": {"type": "ftp", "path": "x"}},
        {"source": {"type": "file"}},
        {"gates": {"sharpe": {"treshold": 1.5}}},
    ],
    ids=str,
)
def test_the_strategy_schema_refuses(change: dict[str, Any]) -> None:
    content = yaml.safe_load((ROOT / "configs" / "strategies" / "eurusd-sample.yaml").read_text(encoding="utf-8"))
    assert refused(content | change, schema("strategy-file"))


def test_a_manifest_satisfies_its_schema_as_it_is_written() -> None:
    written = json.loads(manifest().to_bytes())
    jsonschema.validate(written, schema("manifest"))
    assert Manifest.model_validate(written) == manifest()


@pytest.mark.parametrize("field", sorted(name for name, each in Manifest.model_fields.items() if each.is_required()))
def test_the_manifest_schema_refuses_a_missing_field(field: str) -> None:
    written = json.loads(manifest().to_bytes())
    del written[field]
    assert refused(written, schema("manifest"))


@pytest.mark.parametrize("change", [{"schema_version": 2}, {"kind": "paper"}, {"unknown": 1}, {"seed": "7"}], ids=str)
def test_the_manifest_schema_refuses(change: dict[str, Any]) -> None:
    assert refused(json.loads(manifest().to_bytes()) | change, schema("manifest"))


def test_golden_vectors_satisfy_their_schema_as_they_are_written() -> None:
    bars = dict.fromkeys(COLUMNS, (1.0, 2.0))
    vector = GoldenVector(symbol="X/Y", bars=bars, features=(0.5,), probability=0.6, signal=1)
    written = json.loads(golden_bytes((vector,)))
    by = schema("golden-vectors")
    jsonschema.validate(written, by)
    for change in ({"signal": 2}, {"probability": None}, {"bars": {"close": 1.0}}, {"unknown": 1}):
        assert refused([written[0] | change], by), change
    assert refused(written[0], by)


def test_decisions_satisfy_their_schema_as_they_are_written() -> None:
    nothing_measured = decide(REAL, "0" * 64, evaluate({}, Gates()))
    for made in (nothing_measured, decision(manifest())):
        written = json.loads(made.model_dump_json(indent=1))
        jsonschema.validate(written, schema("gate-result"))
        assert Decision.model_validate(written) == made


@pytest.mark.parametrize(
    "change",
    [{"verdict": "maybe"}, {"scope": "all"}, {"comparison": "="}, {"observed": "1"}, {"refuses": None}, {"unknown": 1}],
    ids=str,
)
def test_the_decision_schema_refuses(change: dict[str, Any]) -> None:
    written = json.loads(decision(manifest()).model_dump_json())
    changed = copy.deepcopy(written)
    changed["results"][0] |= change
    assert refused(changed, schema("gate-result"))


def backtest() -> Backtest:
    times = np.arange(3) * HOUR
    series = {
        name: np.zeros(3)
        for name in ("position", "net_return", "cost", "turnover", "equity", "equity_low", "market_return")
    }
    one = {name: [1] for name in Trades.names()} | {"symbol": ["X/Y"]}
    return Backtest(
        opened_at=times,
        closed_at=times + HOUR,
        regime=np.zeros(3, np.int8),
        capital=1.0,
        trades=Trades.of(**one),
        **series,
    )


def write_all(folder: Path) -> str:
    """Write one file of each kind; the name of the trial's."""
    write_out_of_sample(folder, {"challenger": backtest(), "champion": backtest()})
    bars = Bars.of("X/Y", "1h", opened_at=np.arange(3) * HOUR, **{name: np.ones(3) for name in COLUMNS[1:]})
    tested = SimpleNamespace(bars=bars, probability=np.full(3, 0.5), target=np.zeros(3, np.int8))
    fold: Any = SimpleNamespace(tested={"X/Y": tested})
    write_signals(folder, (fold, fold))
    return write_trial(folder, Trial({}, 0.0, 0, bars.closed_at, np.zeros(3), (1,)))[1]


def test_the_out_of_sample_files_have_the_columns_and_types_of_their_contract(tmp_path: Path) -> None:
    digest = write_all(tmp_path)
    described = {
        name.replace("<sha256>", digest): [(row[0], row[1]) for row in rows]
        for name, rows in tables("out-of-sample-files.md").items()
        if name.endswith(".parquet")
    }
    assert sorted(described) == sorted(path.name for path in tmp_path.iterdir())
    for name, columns in described.items():
        found = [(field.name, str(field.type)) for field in pq.read_schema(tmp_path / name)]
        assert found == columns, name


def test_the_regime_numbers_are_those_of_the_contract() -> None:
    text = (CONTRACTS / "out-of-sample-files.md").read_text(encoding="utf-8")
    assert ", ".join(f"{number} {name}" for number, name in enumerate(REGIMES)) in text


def test_the_bar_contract_names_the_columns_of_bars() -> None:
    (rows,) = (rows for rows in tables("bar.md").values() if rows)
    assert tuple(row[0] for row in rows) == COLUMNS
    bars = Bars.of("X/Y", "1h", opened_at=[0], **{name: [1.0] for name in COLUMNS[1:]})
    assert [row[1] for row in rows] == [str(getattr(bars, row[0]).dtype) for row in rows]


def test_the_position_policy_contract_names_every_parameter_and_state_field() -> None:
    found = tables("position-policy.md")
    assert [row[0] for row in found["Parameters"]] == list(PositionPolicy.model_fields)
    assert [row[0] for row in found["State"]] == list(PositionState.model_fields)


def test_every_gate_and_metric_stands_in_its_table_once() -> None:
    gates = [row[0] for rows in tables("gates.md").values() for row in rows]
    assert [name for name in gates if name in Gates().rules()] == [each.name for each in SPECIFICATIONS]
    metrics = [row[0] for rows in tables("metrics.md").values() for row in rows]
    assert metrics == [metric.name for metric in METRICS]


def test_the_ledger_contract_names_all_evidence(tmp_path: Path) -> None:
    versions = FakeVersions()
    first, second = versions.add(), versions.add()
    ledger = Ledger(Database(f"sqlite:///{tmp_path}/ledger.db", clock=lambda: NOW))
    promoter = Promoter(ledger, versions)
    for version, champion in ((first, None), (second, first)):
        judged = decision(versions.manifests[version])
        promoter.promote(REAL, version, judged, actor="flow", reason="monthly", champion=champion)
    promoter.rollback(REAL, actor="ann", reason="bad")
    text = (CONTRACTS / "promotion-ledger.md").read_text(encoding="utf-8")
    found = {key for row in promoter.history(REAL) for key in row.evidence}
    assert {"decision", "passed_over", "signed"} < found
    assert [key for key in sorted(found) if f"`{key}`" not in text] == []


def test_every_key_of_monitor_and_rollback_is_read_by_some_part() -> None:
    reading = re.compile(r"\b(?:monitor|rollback|rules)\.(\w+)\b")
    read = {
        name
        for path in (ROOT / "src").rglob("*.py")
        if path.name not in {"strategy.py", "reference.py"}
        for name in reading.findall(path.read_text(encoding="utf-8"))
    }
    assert sorted({*Monitor.model_fields, *Rollback.model_fields} - read) == []


def test_the_index_names_every_contract_with_its_version() -> None:
    text = (CONTRACTS / "README.md").read_text(encoding="utf-8")
    listed = dict(re.findall(r"^\| \[[^\]]+\]\(([^)]+)\) \| (\d+) \|", text, flags=re.MULTILINE))
    files = {path.name for path in CONTRACTS.iterdir()} - {"README.md", "policy-vectors.json"}
    assert set(listed) == files
    for name, version in listed.items():
        head = (CONTRACTS / name).read_text(encoding="utf-8")
        content = json.loads(head) if name.endswith(".json") else {"title": head.splitlines()[0]}
        title = content.get("info", content)["title"]
        assert title.endswith(f"version {version}"), name
