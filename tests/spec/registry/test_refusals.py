"""Every reason to refuse a promotion, one row each. The first column of a table is what is changed in an otherwise good promotion."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.registry_factories import NOW, REAL, FakeVersions, decision, gate, manifest

from tidegate.errors import PromotionConflict, PromotionRefused
from tidegate.gates.result import Decision, Verdict
from tidegate.model.manifest import Manifest
from tidegate.registry.database import Database
from tidegate.registry.ledger import Ledger
from tidegate.registry.promotion import Promoter
from tidegate.registry.rules import REQUIRED_GATES, decision_refusals, manifest_refusals

GOOD = decision(manifest()).results
REST = GOOD[1:]
FIRST = GOOD[0].name

DECISIONS: list[tuple[str, dict[str, Any] | None, str]] = [
    ("nothing", {}, ""),
    ("no decision at all", None, "no_decision"),
    ("about another strategy", {"strategy": "other"}, "other_strategy"),
    ("about another manifest", {"manifest_digest": "0" * 64}, "other_manifest"),
    ("says no", {"promote": False}, "gates_refused"),
    ("no results", {"results": ()}, "gates_missing"),
    ("one gate missing", {"results": REST}, "gates_missing"),
    ("one gate twice", {"results": (*GOOD, GOOD[0])}, "gates_twice"),
    ("one result refuses", {"results": (gate(FIRST, refuses=True), *REST)}, "gates_contradict"),
    ("one blocking gate failed", {"results": (gate(FIRST, verdict=Verdict.FAIL), *REST)}, "gates_contradict"),
    ("an advisory gate failed", {"results": (gate(FIRST, verdict=Verdict.FAIL, blocking=False), *REST)}, ""),
    ("passed on a missing value", {"results": (*GOOD[:-1], gate(GOOD[-1].name, observed=None))}, "gates_unobserved"),
    ("passed on NaN", {"results": (gate(FIRST, observed=math.nan), *REST)}, "gates_unobserved"),
    ("passed on infinity", {"results": (gate(FIRST, observed=math.inf), *REST)}, "gates_unobserved"),
    ("no champion to observe", {"results": tuple(gate(n, observed=None if n.startswith("champion") else 1.0) for n in sorted(REQUIRED_GATES))}, ""),
    ("skill without a value", {"results": tuple(gate(n, observed=None if n == "skill" else 1.0) for n in sorted(REQUIRED_GATES))}, "gates_unobserved"),
    ("judged before there was a gate on skill", {"results": tuple(gate(n) for n in sorted(REQUIRED_GATES - {"skill", "cost_stress"}))}, "gates_missing"),
]  # fmt: skip

MANIFESTS: list[tuple[str, dict[str, Any], str, str | None, str]] = [
    # what is changed, manifest, registered under, the registered model's kind, reason
    ("nothing", {}, REAL, "real", ""),
    ("another strategy's bundle", {"strategy": "other"}, REAL, "real", "other_bundle"),
    ("a registered model without a kind", {}, REAL, None, "kind_unknown"),
    ("a real bundle under a simulated model", {}, REAL, "simulated", "kind_differs"),
    ("a simulated bundle under a real model", {"kind": "simulated", "symbols": ("SIM/USD",)}, REAL, "real", "kind_differs"),
    ("a simulated symbol in a real bundle", {"symbols": ("EUR/USD", "SIM/USD")}, REAL, "real", "symbols_differ"),
    ("a real symbol in a simulated bundle", {"kind": "simulated", "strategy": "simulated-x"}, "simulated-x", "simulated", "symbols_differ"),
    ("a simulated bundle under a real name", {"kind": "simulated", "symbols": ("SIM/USD",)}, REAL, "simulated", "kind_differs"),
    ("a real bundle under a simulated name", {"strategy": "simulated-x"}, "simulated-x", "real", "kind_differs"),
    ("no symbols", {"symbols": ()}, REAL, "real", "symbols_differ"),
    ("expired a millisecond ago", {"expires_at": NOW - 1}, REAL, "real", "expired"),
    ("expires now", {"expires_at": NOW}, REAL, "real", "expired"),
    ("expires in a millisecond", {"expires_at": NOW + 1}, REAL, "real", ""),
]  # fmt: skip


@pytest.mark.parametrize(("change", "reason"), [row[1:] for row in DECISIONS], ids=[row[0] for row in DECISIONS])
def test_decisions(change: dict[str, Any] | None, reason: str) -> None:
    judged = manifest()
    made = None if change is None else decision(judged, **change)
    assert [refusal.code for refusal in decision_refusals(made, REAL, judged.digest())] == ([reason] if reason else [])


@pytest.mark.parametrize(
    ("change", "strategy", "kind", "reason"), [row[1:] for row in MANIFESTS], ids=[row[0] for row in MANIFESTS]
)
def test_manifests(change: dict[str, Any], strategy: str, kind: str | None, reason: str) -> None:
    found = {refusal.code for refusal in manifest_refusals(manifest(**change), strategy, kind, NOW)}
    assert found == ({reason} if reason else set())


def test_a_manifest_that_is_not_the_one_promoted_before() -> None:
    found = manifest_refusals(manifest(), REAL, "real", NOW, ledger_digest="0" * 64)
    assert [refusal.code for refusal in found] == ["digest_differs"]


class Case:
    """v1 in production, v2 and v3 registered."""

    def __init__(self, folder: Path) -> None:
        self.versions = FakeVersions()
        for _ in range(3):
            self.versions.add()
        database = Database(f"sqlite:///{folder}/ledger.db", clock=lambda: NOW)
        self.promoter = Promoter(Ledger(database), self.versions)
        self.promote(1, champion=None)

    def decided(self, version: int) -> Decision:
        return decision(self.versions.manifests[version])

    def promote(self, version: int = 2, champion: int | None = 1, **changes: Any) -> None:  # noqa: ANN401
        judged = self.versions.manifests.get(version, manifest())
        fields = {"actor": "ann", "reason": "monthly", "decision": decision(judged), **changes}
        self.promoter.promote(REAL, version, champion=champion, **fields)


def _open_intent(case: Case) -> None:
    def stop(step: str) -> None:
        if step == "intent written":
            raise KeyboardInterrupt

    interrupted = Promoter(case.promoter.ledger, case.versions, on_step=stop)
    with pytest.raises(KeyboardInterrupt):
        interrupted.promote(REAL, 3, case.decided(3), actor="bob", reason="monthly", champion=1)


def _set(case: Case, **aliases: int) -> None:
    case.versions.aliases.update(aliases)


STATES: list[tuple[str, Callable[[Case], object], dict[str, Any], type[PromotionRefused], str]] = [
    # what happened before, promote(v2) with, error, reason
    ("the strategy is halted", lambda c: c.promoter.halt(REAL, actor="bob", reason="storm"), {}, PromotionRefused, r"halted \(halted by bob: storm\)"),
    ("the version is barred", lambda c: c.promoter.bar(REAL, 2, actor="bob", reason="bad"), {}, PromotionRefused, r"barred \(v2 was barred\)"),
    ("the version does not verify", lambda c: c.versions.broken.add(2), {}, PromotionRefused, "bundle_broken"),
    ("the version does not exist", lambda c: c.versions.manifests.pop(3), {"version": 3}, PromotionRefused, "bundle_broken"),
    ("somebody moved the alias", lambda c: _set(c, production=3), {}, PromotionRefused, r"alias_differs \(MLflow's production is v3, the ledger's is v1\)"),
    ("a newer one is in production", lambda c: c.promote(3), {}, PromotionRefused, r"older \(v2 is older than v3"),
    ("the champion was another", lambda c: c.promote(2), {"version": 3}, PromotionConflict, "expected production v1, was v2"),
    ("no champion was expected", lambda _: None, {"champion": None}, PromotionConflict, "expected production none, was v1"),
    ("another act is under way", _open_intent, {}, PromotionConflict, "by bob is under way"),
    ("no decision", lambda _: None, {"decision": None}, PromotionRefused, "no_decision"),
    ("overridden, but barred", lambda c: c.promoter.bar(REAL, 2, actor="bob", reason="bad"), {"decision": None, "override": True}, PromotionRefused, "barred"),
    ("overridden, but halted", lambda c: c.promoter.halt(REAL, actor="bob", reason="x"), {"decision": None, "override": True}, PromotionRefused, "halted"),
    ("overridden, but expired", lambda c: c.versions.manifests.update({2: manifest(expires_at=NOW)}), {"decision": None, "override": True}, PromotionRefused, "expired"),
    ("overridden, but of another kind", lambda c: setattr(c.versions, "model_kind", "simulated"), {"decision": None, "override": True}, PromotionRefused, "kind_differs"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("before", "with_", "error", "message"), [row[1:] for row in STATES], ids=[row[0] for row in STATES]
)
def test_states(
    tmp_path: Path,
    before: Callable[[Case], object],
    with_: dict[str, Any],
    error: type[PromotionRefused],
    message: str,
) -> None:
    case = Case(tmp_path)
    before(case)
    aliases, rows = dict(case.versions.aliases), case.promoter.history(REAL)
    with pytest.raises(error, match=message):
        case.promote(**with_)
    assert case.versions.aliases == aliases
    assert case.promoter.history(REAL) == rows


def test_nothing_happened_before(tmp_path: Path) -> None:
    case = Case(tmp_path)
    case.promote()
    assert case.versions.aliases == {"production": 2, "previous": 1}


def test_an_override_is_recorded_with_what_it_overrode(tmp_path: Path) -> None:
    case = Case(tmp_path)
    refused = decision(case.versions.manifests[2], promote=False, summary="win rate too low")
    case.promote(decision=refused, override=True, reason="the desk accepts it")
    evidence = case.promoter.history(REAL)[-2].evidence
    assert evidence["override"] is True
    assert evidence["overridden"] == ["gates_refused (win rate too low)"]
    assert evidence["decision"] == refused.model_dump(mode="json")


def test_all_reasons_are_told_at_once(tmp_path: Path) -> None:
    case = Case(tmp_path)
    case.promoter.halt(REAL, actor="bob", reason="storm")
    with pytest.raises(PromotionRefused, match=r"no_decision.*halted"):
        case.promote(decision=None)


def test_the_required_gates_are_the_strategy_files() -> None:
    assert {"win_rate", "sharpe", "max_drawdown", "champion", "no_look_ahead", "skill", "cost_stress"} <= REQUIRED_GATES
    assert isinstance(manifest(), Manifest)


def test_a_barred_model_does_not_come_back_under_a_new_number(tmp_path: Path) -> None:
    case = Case(tmp_path)
    case.promoter.rollback(REAL, actor="bob", reason="it loses")  # no version before it: halts and bars v1
    case.promoter.resume(REAL, actor="bob", reason="go on")
    again = case.versions.add(files=case.versions.manifests[1].files)
    with pytest.raises(PromotionRefused, match="same_as_barred"):
        case.promote(again, champion=None)
    case.promoter.clear(REAL, 1, actor="bob", reason="it was the feed")
    case.promote(again, champion=None)


def test_a_version_barred_before_it_was_promoted_does_not_come_back_either(tmp_path: Path) -> None:
    case = Case(tmp_path)
    case.promoter.bar(REAL, 2, actor="bob", reason="odd")
    again = case.versions.add(files=case.versions.manifests[2].files)
    with pytest.raises(PromotionRefused, match="byte for byte, that of v2"):
        case.promote(again)
