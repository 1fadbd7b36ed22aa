"""The conformance kit itself: it finds clients that are wrong, and its cases cover the contract."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from tests.integration.client.wrong_driver import FAULTS

from tidegate.bars.bars import Bars
from tidegate.client.columns import columns_of, digest_of

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "clients" / "conformance"
CONTRACT = (ROOT / "docs" / "contracts" / "client.md").read_text()
WRONG = Path(__file__).with_name("wrong_driver.py")
# Fault of a client: the cases that must find it.
FOUND_BY = {
    "asks_with_any_position": ["entry_price_zero"],
    "asks_at_any_time": ["stale_bars", "bar_not_closed"],
    "takes_any_bars": ["close_nan", "times_descending", "volume_negative"],
    "sleeps_on": ["silence"],
    "waits_without_an_attempt_limit": ["silence_once"],
    "does_not_compare_with_the_policy": ["wrong_target", "wrong_signal", "policy_no_flip"],
    "overlooks_the_bar": ["wrong_bar_before", "opened_by_wrong_bar"],
    "overlooks_the_clock": ["service_ahead", "one_millisecond_too_many"],
    "overlooks_the_age": ["too_old_at_its_end", "opened_by_too_old"],
    "trusts_any_version": ["unknown_version", "right_version_wrong_bundle", "version_not_allowed", "expired_model"],
    "reads_a_halt_as_an_abstention": ["halted_while_flat", "halted_is_seen"],
    "retries_refusals": ["refused_422", "window_unknown", "rate_limited"],
    "always_sends_whole_windows": ["one_new_bar", "market_was_closed"],
    "takes_after_from_what_it_sent": ["the_same_bars_again"],
    "remembers_everything": ["not_remembered_when_garbled", "not_remembered_when_refused"],
    "never_falls_back": ["flat_clears", "hold_ends", "hold_leaves_at_the_stop"],
    "counts_each_asking": ["hold_counts_bars"],
    "opens_by_isolated_looks": ["isolated_looks_do_not_open_it"],
    "looks_without_a_pause": ["looks_keep_the_pause"],
    "has_no_breaker": ["opened_by_timeout", "opened_by_bad_answer", "attempts_are_one_exchange"],
    "does_not_wait_when_asked_to": ["pause_is_kept"],
    "says_that_it_acts": ["signal_long"],
    "says_one_attempt": ["retried_503", "server_error_to_the_end"],
    "believes_any_window": ["judged_another_bots_bars", "judged_the_last_bit", "abstained_on_other_bars"],
    "forgets_how_far_back_models_look": ["longer_lookback_later"],
    "holds_on_where_bars_are_few": ["halted_with_too_few_bars", "halted_without_production"],
    "keeps_its_key": ["signal_long"],
    "forgets_the_route": ["signal_long"],
}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(FOLDER / "kit.py"), *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)


def cases() -> dict[str, Any]:
    files = sorted((FOLDER / "cases").glob("*.json"))
    return {case["name"]: case for path in files for case in json.loads(path.read_text())["cases"]}


def test_each_fault_has_its_cases() -> None:
    assert FOUND_BY.keys() == FAULTS.keys()


@pytest.mark.parametrize("fault", sorted(FOUND_BY))
def test_a_wrong_client_fails_the_cases_about_its_fault(fault: str, tmp_path: Path) -> None:
    told = tmp_path / "told.json"
    chosen = [part for name in FOUND_BY[fault] for part in ("--case", name)]
    done = run(
        "--driver", shlex.join([sys.executable, str(WRONG), fault]), "--at-once", "1", "--json", str(told), *chosen
    )
    outcomes = json.loads(told.read_text())["cases"]
    assert done.returncode == 1
    assert {case["name"] for case in outcomes if case["passed"]} == set(), done.stdout
    # Nobody may be found wrong because nothing was played at all.
    assert "cannot be started" not in done.stdout
    assert "no JSON line" not in done.stdout


def test_a_driver_that_says_nothing_fails(tmp_path: Path) -> None:
    silent = tmp_path / "silent.py"
    silent.write_text("import sys\nsys.stderr.write('no client here')\n")
    done = run("--driver", shlex.join([sys.executable, str(silent)]), "--case", "signal_long")
    assert (done.returncode, "no client here" in done.stdout) == (1, True)


def test_a_driver_that_is_not_there_fails() -> None:
    done = run("--driver", "/nowhere/driver", "--case", "signal_long")
    assert (done.returncode, "cannot be started" in done.stdout) == (1, True)


def test_a_case_that_does_not_exist_is_no_success() -> None:
    done = run("--driver", "true", "--case", "signal_lng")
    assert (done.returncode, "signal_lng" in done.stderr) == (2, True)


def test_all_cases_are_as_their_schema_says() -> None:
    validator = jsonschema.Draft202012Validator(json.loads((FOLDER / "case.schema.json").read_text()))
    for path in (FOLDER / "cases").glob("*.json"):
        wrong = [
            f"{'/'.join(map(str, error.absolute_path))}: {error.message[:200]}"
            for error in validator.iter_errors(json.loads(path.read_text()))
        ]
        assert wrong == [], path.name


def test_a_slip_of_the_pen_in_a_case_is_refused_by_its_schema() -> None:
    validator = jsonschema.Draft202012Validator(json.loads((FOLDER / "case.schema.json").read_text()))
    step: dict[str, Any] = {"decide": {"bars": {"from": 0, "to": 9}}}
    case = {"name": "a", "why": "Something to show.", "steps": [step]}
    assert not validator.is_valid({"cases": [case]})  # it expects nothing
    step["expect"] = {"reason": "timeout"}
    assert validator.is_valid({"cases": [case]})
    step["expcet"] = {"reason": "timeout"}
    assert not validator.is_valid({"cases": [case]})


def digests() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((FOLDER / "window-digests.json").read_text())["windows"]
    return found


@pytest.mark.parametrize("window", digests(), ids=lambda window: str(window["name"]))
def test_a_window_has_the_digest_that_the_service_says(window: dict[str, Any]) -> None:
    bars = Bars.of(window["symbol"], window["interval"], **window["bars"])
    assert bars.content_hash() == window["digest"]
    assert digest_of(columns_of(window["bars"]), window["symbol"], window["interval"], len(bars)) == window["digest"]


def test_the_kit_computes_each_digest_by_itself_and_no_two_are_the_same() -> None:
    code = "import json, market, sys; print(*(market.digest(*one) for one in json.load(sys.stdin)))"
    told = json.dumps([[window["bars"], window["symbol"], window["interval"]] for window in digests()])
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60, cwd=FOLDER, input=told)
    assert done.stdout.split() == [window["digest"] for window in digests()]
    assert len(set(done.stdout.split())) >= 9


def test_the_list_names_every_case() -> None:
    listed = run("--list").stdout
    assert [name for name in cases() if f"/{name}: " not in listed] == []
    assert listed.count("policy/policy_") == 6


def decisions() -> list[dict[str, Any]]:
    return [step["expect"] for case in cases().values() for step in case["steps"] if "expect" in step]


def section(name: str) -> str:
    return CONTRACT.split(f"\n## {name}\n")[1].split("\n## ")[0]


def test_each_reason_of_the_contract_has_a_case() -> None:
    first_cells = re.findall(r"^\| (`.*?) \|", section("Signals") + section("Failures"), flags=re.MULTILINE)
    in_tables = {reason for cell in first_cells for reason in re.findall(r"`([a-z_]+)`", cell)}
    in_order = set(re.findall(r"`([a-z_]+)`", section("In this order"))) & {
        *("window_refused", "position_refused", "bar_not_closed", "stale_bars", "breaker_open")
    }
    expected = {reason for one in decisions() if isinstance(reason := one.get("reason"), str)}
    assert {"abstained", "timeout"} <= in_tables
    assert len(in_order) == 5
    assert in_tables | in_order <= expected | {"reason"}


def test_each_setting_with_bounds_has_a_case() -> None:
    rows = [line.split("|") for line in section("Settings").splitlines() if line.startswith("| `")]
    bounded = {row[1].strip(" `") for row in rows if row[3].strip()}
    tried = json.dumps([step["open"] for case in cases().values() for step in case["steps"] if "open" in step])
    assert len(bounded) > 20
    assert {name for name in bounded if f'"refused": "{name}"' not in tried} == set()


def test_every_kind_of_decision_is_expected() -> None:
    kinds: dict[str, set[Any]] = {
        "source": {"model", "halt"},
        "fallback": {"flat", "hold", "exit"},
        "breaker": {"open", "closed"},
        "target": {-1, 0, 1},
    }
    for name, values in kinds.items():
        assert values <= {value for one in decisions() if not isinstance(value := one.get(name), dict)}
