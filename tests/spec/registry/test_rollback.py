"""What a rollback does, as a table of short stories.

A story is a line of acts on a strategy with five registered versions: `p3` promotes v3, `b2` bars v2, `c2` clears it, `r` rolls back, `r1` rolls
back to v1, `r-` rolls back without barring, `l2` rolls back if production is v2, `x2` breaks the bundle of v2, `e2` lets v2 expire, `a4` points MLflow's production to v4
by hand, `a-` removes it, `g3` says that the gates' decision kept with v3 promotes it, `n3` that it refuses, `h` halts, `u` resumes, `f` repairs.
"""

from pathlib import Path
from typing import Any

import pytest
from tests.registry_factories import NOW, REAL, FakeVersions, decision

from tidegate.errors import ConfigurationError, PromotionRefused
from tidegate.registry.database import Database
from tidegate.registry.ledger import Ledger
from tidegate.registry.promotion import Promoter
from tidegate.registry.repair import repair

STORIES: list[tuple[str, str, int | None, int | None, set[int], bool]] = [
    # what it shows, story, production, previous, barred, halted
    ("a first promotion", "p1", 1, None, set(), False),
    ("a second one", "p1 p2", 2, 1, set(), False),
    ("back to the last good one", "p1 p2 r", 1, None, {2}, False),
    ("back, with an older one left", "p1 p2 p3 r", 2, 1, {3}, False),
    ("twice equals once", "p1 p2 p3 r r", 2, 1, {3}, False),
    ("twice equals once, without barring", "p1 p2 p3 r- r-", 2, 1, set(), False),
    ("further back by name", "p1 p2 p3 r r1", 1, None, {2, 3}, False),
    ("to where it is already", "p1 p2 p3 r2 r2", 2, 1, {3}, False),
    ("v2 turns out bad a week later", "p1 p2 p3 r l2", 1, None, {2, 3}, False),
    ("and the same again", "p1 p2 p3 r l2 l2", 1, None, {2, 3}, False),
    ("naming what is left from the start", "p1 p2 p3 l3 l3", 2, 1, {3}, False),
    ("production is another one already", "p1 p2 p3 l2", 3, 2, set(), False),
    ("the last one left is bad as well", "p1 p2 r l1", None, None, {1, 2}, True),
    ("and the same again", "p1 p2 r l1 l1", None, None, {1, 2}, True),
    ("leaving one that was put there by hand", "p1 p2 x3 a3 f l3", 2, 1, {3}, False),
    ("leaving one that somebody has already replaced", "p1 p2 g3 a3 f l2", 3, 1, set(), False),
    ("a barred one is passed over", "p1 p2 p3 b2 r", 1, None, {2, 3}, False),
    ("a broken one is passed over", "p1 p2 p3 x2 r", 1, 2, {3}, False),
    ("an expired one is passed over", "p1 p2 p3 e2 r", 1, 2, {3}, False),
    ("a new promotion after it, then back again", "p1 p2 r p3 r", 1, None, {2, 3}, False),
    ("the only one is bad", "p1 r", None, None, {1}, True),
    ("the only one is bad, twice", "p1 r r", None, None, {1}, True),
    ("nothing was ever promoted", "r", None, None, set(), True),
    ("nothing was ever promoted, twice", "r r", None, None, set(), True),
    ("no good one is left", "p1 p2 b1 r", None, None, {1, 2}, True),
    ("a new start after that", "p1 r u p2", 2, None, {1}, False),
    ("back from the new start", "p1 r u p2 r", None, None, {1, 2}, True),
    ("cleared, and good again", "p1 p2 b1 c1 r", 1, None, {2}, False),
    ("a halt leaves production alone", "p1 p2 h", 2, 1, set(), True),
    ("a rollback goes through a halt", "p1 p2 h r", 1, None, {2}, True),
    ("and on", "p1 p2 h u p3", 3, 2, set(), False),
    ("barring the previous one moves the alias on", "p1 p2 p3 b2", 3, 1, {2}, False),
    ("somebody put another good one there", "p1 p2 g3 a3 f", 3, 1, set(), False),
    ("and a rollback from there", "p1 p2 g3 a3 f r", 2, 1, {3}, False),
    ("and later back to it", "p1 p2 g3 a3 f p4 r", 3, 2, {4}, False),
    ("somebody put an earlier one there", "p1 p2 a1 f", 1, 1, set(), False),
    ("and a rollback from there: it is back already", "p1 p2 p3 a2 f r", 2, 2, set(), False),
    ("leaving the earlier one never goes to the one left by hand", "p1 p2 p3 a2 f l2", 1, None, {2}, False),
    ("nor to one that was left without barring it", "p1 p2 p3 r- l2", 1, None, {2}, False),
    ("and where only that is left, it halts", "p1 p2 a1 f l1", None, None, {1}, True),
    ("but by name it does", "p1 p2 p3 r- r3", 3, 1, {2}, False),
    ("and where it was promoted again", "p1 p2 p3 r- p3 p4 r", 3, 2, {4}, False),
    ("and where somebody put it back by hand", "p1 p2 p3 a2 f a3 f p4 r", 3, 2, {4}, False),
    ("and where a person has cleared it", "p1 p2 p3 r c3 p4 l4 l2", 3, 1, {2, 4}, False),
    ("somebody put one there that nobody judged: no target later", "p1 p2 a3 f r p4 r", 2, 1, {3, 4}, False),
    ("somebody put one there that the gates refused", "p1 p2 n3 a3 f r p4 r", 2, 1, {3, 4}, False),
    ("refused, and set back by hand", "p1 p2 n3 a3 f a2 f", 2, 1, set(), False),
    ("somebody put a barred one there: left alone, not recorded", "p1 p2 b3 a3 f", 3, 1, {3}, False),
    ("from there back to the ledger's version", "p1 p2 b3 a3 f r", 2, 1, {3}, False),
    ("somebody put a broken one there", "p1 p2 x3 a3 f r", 2, 1, {3}, False),
    ("somebody removed the alias", "p1 p2 a- f", None, 1, set(), False),
    ("from there back to the ledger's version", "p1 p2 a- f r", 2, 1, set(), False),
    ("somebody put one there while it was halted", "p1 p2 h a3 f", 3, 1, set(), True),
]  # fmt: skip

REFUSED: list[tuple[str, str, str]] = [
    ("to one that never was in production", "p1 p2 r3", "never_produced"),
    ("to a barred one", "p1 p2 b1 r1", "barred"),
    ("to a broken one", "p1 p2 x1 r1", "bundle_broken"),
    ("to an expired one", "p1 p2 e1 r1", "expired"),
    ("barring what is in production", "p1 p2 b2", "use rollback"),
    ("going on with somebody else's refused change", "p1 x2 a2 f p3", "alias_differs"),
    ("going on with one that the gates refused", "p1 n2 a2 f p3", "alias_differs"),
    ("to one that somebody put there though the gates refused it", "p1 n2 a2 f a1 f r2", "never_produced"),
    ("to one that somebody put there though nobody judged it", "p1 a2 f a1 f r2", "never_produced"),
    ("promoting while halted", "p1 h p2", "halted"),
]


class Story:
    def __init__(self, folder: Path) -> None:
        self.versions = FakeVersions()
        for _ in range(5):
            self.versions.add()
        self.promoter = Promoter(Ledger(Database(f"sqlite:///{folder}/l.db", clock=lambda: NOW)), self.versions)

    def tell(self, story: str) -> None:
        for act in story.split():
            self.act(act[0], act[1:])

    def act(self, kind: str, text: str) -> None:
        who: Any = {"actor": "ann", "reason": "told"}
        version = int(text) if text.isdigit() else None
        promoter, versions = self.promoter, self.versions
        if kind == "p" and version:
            made = decision(versions.manifests[version])
            promoter.promote(REAL, version, made, actor="ann", reason="told", champion=promoter.current(REAL))
        elif kind in "rl":
            to_version, leaving = (version, None) if kind == "r" else (None, version)
            promoter.rollback(REAL, to_version=to_version, leaving=leaving, bar=text != "-", **who)
        elif kind == "b" and version:
            promoter.bar(REAL, version, **who)
        elif kind == "c" and version:
            promoter.clear(REAL, version, **who)
        elif kind == "x" and version:
            versions.broken.add(version)
        elif kind == "e" and version:
            # The ledger knows the digest of what was promoted, so the clock must move rather than the manifest.
            versions.manifests[version] = versions.manifests[version].model_copy(update={"expires_at": NOW})
        elif kind == "a":
            versions.set_alias(REAL, "production", version)
        elif kind in "gn" and version:
            versions.decisions[version] = decision(versions.manifests[version], promote=kind == "g")
        elif kind in "hu":
            (promoter.halt if kind == "h" else promoter.resume)(REAL, **who)
        else:
            repair(promoter, REAL)


@pytest.mark.parametrize(
    ("story", "production", "previous", "barred", "halted"),
    [row[1:] for row in STORIES],
    ids=[f"{row[0]} ({row[1]})" for row in STORIES],
)
def test_stories(
    tmp_path: Path, story: str, production: int | None, previous: int | None, barred: set[int], halted: bool
) -> None:
    told = Story(tmp_path)
    told.tell(story)
    state = told.promoter.ledger.state(REAL)
    aliases = told.versions.aliases
    assert (aliases.get("production"), aliases.get("previous")) == (production, previous)
    assert state.barred == barred
    assert (state.halt is not None) == halted
    told.promoter.ledger.verify()


@pytest.mark.parametrize(("story", "message"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_refused(tmp_path: Path, story: str, message: str) -> None:
    told = Story(tmp_path)
    before, _, last = story.rpartition(" ")
    told.tell(before)
    aliases, rows = dict(told.versions.aliases), told.promoter.history(REAL)
    with pytest.raises(PromotionRefused, match=message):
        told.tell(last)
    assert (told.versions.aliases, told.promoter.history(REAL)) == (aliases, rows)


def test_a_second_rollback_writes_nothing(tmp_path: Path) -> None:
    told = Story(tmp_path)
    told.tell("p1 p2 r")
    rows = told.promoter.history(REAL)
    outcome = told.promoter.rollback(REAL, actor="ann", reason="again")
    assert not outcome.changed
    assert told.promoter.history(REAL) == rows


def test_a_version_that_is_halted_or_barred_says_so(tmp_path: Path) -> None:
    told = Story(tmp_path)
    told.tell("p1 p2 r h")
    ledger = told.promoter.ledger
    assert [ledger.version_status(REAL, version) for version in (1, 2, 3)] == ["halted", "barred", "halted"]
    told.tell("u")
    assert [ledger.version_status(REAL, version) for version in (1, 2, 3)] == ["ok", "barred", "ok"]


def test_a_rollback_that_does_nothing_says_how_to_leave_this_version_too(tmp_path: Path) -> None:
    told = Story(tmp_path)
    told.tell("p1 p2 p3 r")
    outcome = told.promoter.rollback(REAL, actor="ann", reason="v2 is bad as well")
    assert not outcome.changed
    assert "already on v2" in outcome.message
    assert "--from 2" in outcome.message
    assert "--to N" in outcome.message
    outcome = told.promoter.rollback(REAL, leaving=2, actor="ann", reason="v2 is bad as well")
    assert (outcome.changed, outcome.message) == (True, f"{REAL} is back on v1, left v2")
    rows = told.promoter.history(REAL)
    outcome = told.promoter.rollback(REAL, leaving=2, actor="ann", reason="v2 is bad as well")
    assert (outcome.changed, outcome.message) == (False, f"nothing to do: {REAL} is on v1, not on v2")
    assert told.promoter.history(REAL) == rows


def test_leaving_a_version_for_itself_is_refused(tmp_path: Path) -> None:
    told = Story(tmp_path)
    told.tell("p1 p2 p3")
    with pytest.raises(ConfigurationError, match="cannot leave v2 and go to it"):
        told.promoter.rollback(REAL, leaving=2, to_version=2, actor="ann", reason="odd")
