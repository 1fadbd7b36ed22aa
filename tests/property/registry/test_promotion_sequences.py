"""Any sequence of acts, crashes and repairs keeps the ledger and the aliases together."""
# ruff: noqa: ANN401  arguments are handed on

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from tests.registry_factories import NOW, REAL, Crash, FakeVersions, decision

from tidegate.errors import TidegateError
from tidegate.keys.signing import Signer, production_message, shadow_message
from tidegate.keys.state import SignedState, decode
from tidegate.registry.database import Database
from tidegate.registry.ledger import Ledger
from tidegate.registry.promotion import Promoter
from tidegate.registry.repair import repair

STEPS = (
    "intent written",
    "fence passed",
    "announced",
    "signed",
    "previous set",
    "production set",
    "aliases verified",
    "closing row written",
    "committed",
    "published",
)
WHO = {"actor": "ann", "reason": "drawn"}
VERSIONS = st.integers(1, 6)
SIGNER = Signer.new()


class Acts(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory(prefix="tidegate-property-")
        self.versions = FakeVersions()
        for _ in range(6):
            version = self.versions.add()
            registered = shadow_message(self.versions.manifests[version].digest())
            self.versions.shadow_signatures[version] = SIGNER.sign(registered)
            # The gates let every other one through; nobody judged v6.
            if version < 6:
                judged = decision(self.versions.manifests[version], promote=version % 2 == 1)
                self.versions.decisions[version] = judged
        database = Database(f"sqlite:///{Path(self._folder.name)}/ledger.db", clock=lambda: NOW)
        self.ledger = Ledger(database)
        self.promoter = Promoter(self.ledger, self.versions, SIGNER)
        self.newest_token = 0
        self.repaired = True  # nothing has happened that a repair must look at
        self.refused_outside = False

    def teardown(self) -> None:
        self._folder.cleanup()

    def _act(self, name: str, *arguments: Any, crash: str | None = None, **keywords: Any) -> None:
        def step(reached: str) -> None:
            if reached == crash:
                raise Crash

        before = self.versions.aliases.get("production")
        promoter = Promoter(self.ledger, self.versions, SIGNER, on_step=step)
        try:
            getattr(promoter, name)(REAL, *arguments, **WHO, **keywords)
        except TidegateError:
            return
        except Crash:
            self.repaired = False
            return
        if name == "rollback" and keywords.get("leaving") in {None, before}:
            self.refused_outside = False

    @rule(version=VERSIONS, crash=st.none() | st.sampled_from(STEPS))
    def promote(self, version: int, crash: str | None) -> None:
        made = decision(self.versions.manifests[version])
        self._act("promote", version, made, champion=self.promoter.current(REAL), crash=crash)

    @rule(to=st.none() | VERSIONS, bar=st.booleans(), crash=st.none() | st.sampled_from(STEPS))
    def rollback(self, to: int | None, bar: bool, crash: str | None) -> None:
        self._act("rollback", to_version=to, bar=bar, crash=crash)

    @rule(leaving=VERSIONS, bar=st.booleans(), crash=st.none() | st.sampled_from(STEPS))
    def roll_back_from(self, leaving: int, bar: bool, crash: str | None) -> None:
        alias, rows = self.versions.aliases.get("production"), self.promoter.history(REAL)
        before = self.ledger.state(REAL)
        self._act("rollback", leaving=leaving, bar=bar, crash=crash)
        # The ledger's version is left also where somebody moved the alias away from it.
        if leaving not in {alias, before.current} or before.open_intent is not None:
            assert self.promoter.history(REAL) == rows
            assert self.versions.aliases.get("production") == alias
        elif crash is None:
            assert self.versions.aliases.get("production") != leaving
        rows = self.promoter.history(REAL)
        if crash is None:  # twice equals once
            self._act("rollback", leaving=leaving, bar=not bar)
            assert self.promoter.history(REAL) == rows

    @rule(version=VERSIONS)
    def bar(self, version: int) -> None:
        self._act("bar", version)

    @rule(version=VERSIONS)
    def clear(self, version: int) -> None:
        self._act("clear", version)

    @rule()
    def halt(self) -> None:
        self._act("halt")

    @rule()
    def resume(self) -> None:
        self._act("resume")

    @precondition(lambda self: self.repaired)
    @rule(version=st.none() | VERSIONS)
    def change_outside(self, version: int | None) -> None:
        self.versions.set_alias(REAL, "production", version)
        self.repaired = False

    @rule()
    def repair(self) -> None:
        report = repair(self.promoter, REAL)
        self.refused_outside = any("outside tidegate" in alert for alert in report.alerts)
        self.repaired = True
        rows, aliases = self.promoter.history(REAL), dict(self.versions.aliases)
        again = repair(self.promoter, REAL)
        assert (again.rows, again.published, again.signed) == ([], False, False)
        assert (self.promoter.history(REAL), self.versions.aliases) == (rows, aliases)

    def _published(self) -> SignedState | None:
        return None if self.versions.state is None else decode(self.versions.state, SIGNER.verifier(), REAL)

    def _digests(self, versions: Iterable[int]) -> set[str]:
        return {self.versions.manifests[version].digest() for version in versions}

    @invariant()
    def the_published_state_never_gets_older(self) -> None:
        told = self._published()
        token = 0 if told is None else told.token
        assert token >= self.newest_token
        self.newest_token = token

    @invariant()
    def after_a_repair_the_published_state_is_what_the_ledger_says(self) -> None:
        state, told = self.ledger.state(REAL), self._published()
        if not self.repaired or state.last_row is None:
            return
        assert told is not None
        assert (told.token, told.halted) == (state.last_row.id, state.halt is not None)
        assert told.production_version == state.current
        assert set(told.barred) == self._digests(state.barred)
        assert len(told.barred_models) == len(state.barred)
        if state.current is not None:
            message = production_message(self.versions.manifests[state.current].digest())
            assert SIGNER.verifier().verify(message, self.versions.signatures[state.current])

    @invariant()
    def no_service_finds_an_alias_moved_by_a_rollback_without_the_bar(self) -> None:
        intent = self.ledger.state(REAL).open_intent
        if intent is None or intent.action == "promote" or not intent.evidence.get("bar"):
            return
        if self.versions.aliases.get("production") != intent.from_version and intent.from_version is not None:
            told = self._published()
            assert told is not None
            assert self._digests([intent.from_version]) <= set(told.barred)
            assert told.production_version == intent.to_version

    @invariant()
    def the_chain_verifies(self) -> None:
        self.ledger.verify()

    @invariant()
    def the_ledger_never_has_a_barred_version_in_production(self) -> None:
        state = self.ledger.state(REAL)
        assert state.current not in state.barred

    @invariant()
    def after_a_repair_the_alias_is_what_the_ledger_says(self) -> None:
        state = self.ledger.state(REAL)
        alias = self.versions.aliases.get("production")
        if self.repaired:
            assert state.open_intent is None
        if self.repaired and not self.refused_outside:
            assert alias == state.current
            assert alias not in state.barred
            assert self.versions.aliases.get("previous") not in state.barred

    @invariant()
    def a_change_from_outside_counts_only_for_what_was_promoted_or_may_be(self) -> None:
        known: set[int | None] = set()
        for row in self.promoter.history(REAL):
            if row.state == "committed" and row.action == "external":
                assert row.to_version in known or row.to_version in {1, 3, 5}
            if row.state == "committed" and row.action in {"promote", "rollback", "external"}:
                known.add(row.to_version)

    @invariant()
    def tokens_never_fall(self) -> None:
        tokens = [row.fencing_token for row in self.promoter.history(REAL)]
        assert tokens == sorted(tokens)

    @invariant()
    def every_intent_but_the_last_is_closed_once(self) -> None:
        rows = self.promoter.history(REAL)
        closed = [row.intent_id for row in rows if row.intent_id is not None]
        intents = [row.id for row in rows if row.state == "intent"]
        assert closed == intents[: len(closed)]
        assert len(intents) - len(closed) in {0, 1}


TestActs = Acts.TestCase
TestActs.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
