"""The paths that decide by gates: the real promoter on a ledger of the path's own, the real rules of a rollback, and a clock of history."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from tidegate.backtest.result import Floats, Times, Trades
from tidegate.bars.bars import iso
from tidegate.bars.interval import DAY_MS
from tidegate.errors import PromotionRefused
from tidegate.gates.result import Decision
from tidegate.pipeline.contest import Champion
from tidegate.pipeline.judge import decide_run
from tidegate.registry.database import Database
from tidegate.registry.events import EventLedger
from tidegate.registry.ledger import Ledger
from tidegate.registry.looks import LookLedger
from tidegate.registry.promotion import Promoter
from tidegate.replay.life import Desk, Newest, Ruling, Stepped, metrics_of, record_of, with_closing
from tidegate.replay.market import Market
from tidegate.replay.plain import load_stint, save_stint
from tidegate.replay.plan import Plan
from tidegate.replay.result import Act, Name
from tidegate.replay.shelf import Shelf
from tidegate.replay.trading import Stint, Traded, enter, join, trade
from tidegate.replay.trained import BUNDLE
from tidegate.replay.training import ACTOR, LATENCY, MonthJob
from tidegate.replay.watching import Watch, asks
from tidegate.rollback.act import carry_out
from tidegate.rollback.automatic import read_situation
from tidegate.rollback.decision import ACTS, decide
from tidegate.rollback.finding import Finding
from tidegate.rollback.incidents import close_incident, open_incidents
from tidegate.rollback.procedure import Procedure
from tidegate.rollback.verification import Verification
from tidegate.strategy.gates import Gates
from tidegate.strategy.strategy import Strategy

_NO_TIMES: Final[Times] = np.empty(0, np.int64)
_NO_RETURNS: Final[Floats] = np.empty(0)
_CLOSED: Final = "closed at the next retrain, as a person would have by then"


class Judged:
    """One path with gates.

    Args:
        name: the path's key.
        title: for people.
        strategy: with the path's own gates.
        plan: settings, and the policies that are asked as well.
        market: bars and answers.
        folder: for the ledger that is being written; its file is `ledger.db`.
    """

    def __init__(self, name: Name, title: str, strategy: Strategy, plan: Plan, market: Market, folder: Path) -> None:
        self.name: Name = name
        self.title = title
        self.policy = strategy.gates.policy
        self._strategy = strategy.model_copy(update={"gates": without_latency(strategy.gates)})
        self._plan = plan
        self._policies = {
            other: without_latency(gates) for other, gates in plan.policies.items() if other != "deployed"
        }
        self._folder = folder
        self._now = 0
        self._desk = Desk(market)
        self._watch = Watch(market, strategy)
        self._database = Database(f"sqlite:///{folder / 'ledger.db'}", clock=lambda: self._now)
        self._events = EventLedger(self._database)
        self._shelf = Shelf(strategy.kind)
        self._promoter = Promoter(Ledger(self._database), self._shelf)
        self._recent: list[Traded] = []

    def step(self, newest: Newest) -> Stepped:
        """Retrain, decide, then trade and watch until the next retrain."""
        self.know(newest)
        month, before = newest.month, self._desk.version
        self._now = month.as_of_ms
        for incident in open_incidents(self._events, self._strategy.name):
            close_incident(self._events, incident.id, actor=ACTOR, note=_CLOSED)
        ruling = self._decide(newest)
        cost, ended = 0.0, Trades.empty()
        if ruling.outcome == "promoted":
            cost, ended = self._desk.change_to(newest.version, month.as_of_ms)
        after = self._desk.version
        parts, acts = self._live(month.as_of_ms, month.end_ms)
        traded = with_closing(join(parts), cost, ended)
        self.remember(traded)
        return Stepped(record_of(newest, ruling, before, after, traded, acts), traded)

    def know(self, newest: Newest) -> None:
        """Hear of a month's model, whatever becomes of it."""
        if newest.version is not None:
            self._desk.known[newest.version] = newest.trained
            self._shelf.put(newest.version, newest.trained.folder / BUNDLE)

    def save(self) -> str:
        """Who trades, and the registry's side; the ledger is a file of its own."""
        return f"{save_stint(self._desk.stint)}{self._shelf.to_json()}"

    def load(self, content: str) -> None:
        """Go on from there."""
        stint, _, shelf = content.partition("\n")
        self._desk.stint = load_stint(stint)
        self._shelf.restore(shelf)

    def _decide(self, newest: Newest) -> Ruling:
        if newest.measured is None or newest.version is None:
            return Ruling("failed", (newest.trained.failure,))
        measured, name = newest.measured, self._strategy.name
        state = self._promoter.ledger.state(name)
        champion = None if state.current is None else Champion(state.current, self._shelf.bundle(state.current))
        place = self._folder / "decision"
        (place / BUNDLE).mkdir(parents=True, exist_ok=True)
        at, settings, policies = self._now, self._plan.settings, self._policies
        job = MonthJob(self._strategy, settings, self._plan.root, at, at, ACTOR, policies=policies, place=place)
        found = decide_run(job, measured, champion, LookLedger(self._database), newest.tried)
        decision = found.decision
        self._shelf.keep_decision(newest.version, decision)
        refusals = tuple(f"{result.title}: {result.reason}" for result in decision.refusals)
        refused = "" if not decision.promote else self._promote(newest.version, decision, state.current)
        metrics = metrics_of(measured, decision)
        if decision.promote and not refused:
            return Ruling("promoted", (), metrics)
        return Ruling("refused", refusals or (f"Registry: {refused}",), metrics)

    def _promote(self, version: int, decision: Decision, champion: int | None) -> str:
        """Promote what the gates let through; returns why the registry did not, empty where it did. A halt ends with it."""
        name, reason = self._strategy.name, f"retrain {iso(self._now)[:7]}: {decision.summary}"
        halt = self._promoter.ledger.state(name).halt
        if halt is not None:
            self._promoter.resume(name, actor=ACTOR, reason=f"the gates let v{version} through")
        try:
            self._promoter.promote(name, version, decision, actor=ACTOR, reason=reason, champion=champion)
        except PromotionRefused as refusal:
            if halt is not None:
                self._promoter.halt(name, actor=ACTOR, reason=halt.reason)
            return refusal.what
        return ""

    def _live(self, start_ms: int, end_ms: int) -> tuple[list[Traded], tuple[Act, ...]]:
        """Trade and watch; each act ends one part and begins another."""
        parts: list[Traded] = []
        acts: list[Act] = []
        at = start_ms
        while self._desk.stint is not None and at < end_ms:
            traded, act, at = self._until_act(self._desk.stint, at, end_ms, parts)
            parts.append(traded)
            acts += [] if act is None else [act]
        return [*parts, self._desk.trade(at, end_ms)], tuple(acts)

    def _until_act(
        self, stint: Stint, start_ms: int, end_ms: int, parts: Sequence[Traded]
    ) -> tuple[Traded, Act | None, int]:
        """Trade until a rule acts, the version expires, or the month ends; returns what was earned, what happened, and when."""
        market, bundle = self._desk.market, self._desk.known[stint.version].bundle
        expires = bundle.manifest.expires_at <= end_ms
        until = max(start_ms, bundle.manifest.expires_at) if expires else end_ms
        traded, moved = trade(market, bundle, stint, start_ms, until, leaves=expires)
        for day in self._watch.days(start_ms, until - expires):
            returns = self._returns(parts, traded) if self._watch.looks_at_returns else (_NO_TIMES, _NO_RETURNS)
            findings = self._watch.findings(bundle, moved, day, *returns)
            act = self._act(stint.version, findings, day) if asks(findings) else None
            if act is not None:
                cut, _ = trade(market, bundle, stint, start_ms, day, leaves=True)
                self._desk.stint = None if act.to_version is None else enter(act.to_version, day, market.strategy)
                return cut, act, day
        self._desk.stint = None if expires else moved
        words = f"v{stint.version} is older than windows.max_age_days ({self._strategy.windows.max_age_days})"
        return traded, Act(until, "expiry", stint.version, None, words) if expires else None, until

    def _act(self, version: int, findings: Sequence[Finding], day: int) -> Act | None:
        """Decide by the rules of production, and carry it out; None where nothing changed."""
        self._now = day
        name, rules, ledger = self._strategy.name, self._strategy.rollback, self._promoter.ledger
        decision = decide(findings, read_situation(ledger, self._events, name, rules, acting_allowed=True))
        if decision.act not in ACTS:
            return None
        procedure = Procedure(self._promoter, self._events, self._verified)
        report = carry_out(decision, procedure, rules, actor=ACTOR, acting_allowed=True)
        if not report.changed:
            return None
        state = ledger.state(name)
        halted = state.halt is not None
        return Act(day, "halt" if halted else "rollback", version, None if halted else state.current, decision.reason)

    def _verified(self, strategy: str, version: int | None, digest: str | None) -> Verification:
        """There are no serving processes to be asked."""
        return Verification(strategy, version, digest, self._now, 0.0, ())

    def _returns(self, parts: Sequence[Traded], traded: Traded) -> tuple[Times, Floats]:
        series = [*self._recent, *parts, traded]
        return np.concatenate([each.closed_at for each in series]), np.concatenate([each.net_return for each in series])

    def remember(self, traded: Traded) -> None:
        """Keep what a rule on the returns of the last days may look at."""
        if self._watch.looks_at_returns and len(traded.closed_at):
            oldest = traded.closed_at[-1] - self._strategy.rollback.sharpe_window_days * DAY_MS
            self._recent = [*(each for each in self._recent if each.closed_at[-1] > oldest), traded]


def without_latency(gates: Gates) -> Gates:
    """The gates with one for latency that does not block: it cannot be judged here, and no decision may depend on the machine."""
    return gates.model_copy(update={LATENCY: gates.latency_p95_ms.model_copy(update={"blocking": False})})
