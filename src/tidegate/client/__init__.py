"""The bot's side for notebooks and tests: what the Rust crate does, thin.

Enters: settings from TOML, the bot's own closed bars, and what it holds. Leaves: on every bar and within its deadline a `Decision` on what to hold
from the next bar's open on, which says who decided and why. What is not a signal beyond doubt is a fallback; nothing raises.

What it does in each case is a contract that clients in other languages share: `docs/contracts/client.md`.

May import: `tidegate.policy`, `tidegate.bars`, `tidegate.errors`, httpx and msgspec (extra `client`); never `tidegate.serving`, which needs more
than a bot has.

    with Client(Config.load("bot.toml")) as client:
        decision = client.decide("EUR/USD", bars, {"side": 1, "entry_price": 1.0845, "bars_held": 4})
"""

from tidegate.client.client import Client
from tidegate.client.clock import BarsClock, Clock, SystemClock
from tidegate.client.config import Config
from tidegate.client.decision import Decision, State
from tidegate.client.fallback import Closure, Situation

__all__ = ["BarsClock", "Client", "Clock", "Closure", "Config", "Decision", "Situation", "State", "SystemClock"]
