"""The commented strategy file that `tidegate new` writes."""

import sys
from typing import Final

import yaml
from pydantic import ValidationError

from tidegate.errors import ConfigurationError
from tidegate.settings.loading import describe, parse_yaml
from tidegate.strategy.strategy import Strategy

_SOURCES: Final = {
    "file": "  type: file               # CSV or Parquet; columns, time units and date order are detected or refused\n  path: {path}\n  # day_first: true         # only needed where 03.04.2024 could be either",
    "dump": "  type: dump               # the exchange's public dump files, zip or csv\n  path: {path}",
    "freqtrade": "  type: freqtrade          # feather or json files of freqtrade's download-data\n  path: {path}",
    "ccxt": "  type: ccxt               # needs the extra: pip install 'tidegate[ccxt]'\n  exchange: binance\n  since: 2024-01-01T00:00:00Z",
    "simulated": "  type: simulated          # a market with a known edge; says nothing about real ones\n  seed: 1\n  edge: 1.0",
}

_TEMPLATE: Final = """\
# Strategy {name}. Everything that is not written here has a default: see docs/strategy-file.md.
version: 1
name: {name}
kind: {kind}                 # simulated models can never be promoted under a real symbol's name
symbols: [{symbol}]          # several symbols: one pooled model, or one each with `combine: separate`
interval: {interval}
calendar: 24/7             # or fx: closed from Friday to Sunday, 17:00 New York time
source:
{source}

# Features: none named is the standard set. Families: `tidegate features`. Your own function as module:function with its lookback;
# see docs/features.md.
# features:
#   - {{use: return, lengths: [1, 6, 24]}}
#   - {{use: volatility, lengths: [12, 48]}}
#   - {{use: "my_features:order_flow", lengths: [20], lookback: 21}}

labels:
  method: triple_barrier   # or fixed_horizon, or your own as module:function with its lookback; see docs/own-labels.md
  horizon_bars: 12         # holding time
  barrier_sigmas: 1.0      # barrier distance, in volatilities over the horizon
  min_barrier_costs: 2.0   # and at least this many round-trip costs

costs:                     # what YOU pay, in basis points per side: check them, everything depends on them
  fee_bps: 5.0
  half_spread_bps: 0.5
  slippage_bps: 0.5
  impact_coefficient: 0.0  # Y of the square-root impact; matters when you trade much of a bar's volume

windows:
  train_days: 90           # at least 60
  test_days: 30            # out of sample, of each fold
  max_folds: 12            # a year of test windows; fewer prove little
  embargo_bars: 12

policy:                    # entry margins are chosen inside the training window, from these
  margins: [0.02, 0.04, 0.06, 0.08, 0.10, 0.13, 0.16]
  sides: both              # or long, short

# Gates: what a model must pass. The policies are checklist (points only), balanced (points, and skill at 5 % error a year) and strict
# (everything, 1 %): see docs/gates.md. Loosen a gate only with a reason you would sign.
gates:
  policy: balanced
#   win_rate: {{threshold: 0.58}}
#   regime_volatile: {{threshold: 1.0, not_enough_evidence_blocks: false}}

capital: 10000
"""


def strategy_template(name: str, *, symbol: str, interval: str, source: str, path: str) -> str:
    """A strategy file as text, checked to be a valid one.

    Raises:
        ConfigurationError: a value that a strategy cannot have.
    """
    if source not in _SOURCES:
        raise ConfigurationError(f"source {source!r} is unknown", expected=", ".join(_SOURCES))
    kind = "simulated" if source == "simulated" else "real"
    if kind == "simulated" and not name.startswith("simulated"):
        raise ConfigurationError(
            f"name {name!r} hides that the market is simulated", expected="a name beginning with 'simulated'"
        )
    if kind == "simulated" and not symbol.startswith("SIM"):
        symbol = "SIM/USD"
    described = _SOURCES[source].format(path=_scalar(path))
    text = _TEMPLATE.format(
        name=_scalar(name), kind=kind, symbol=_scalar(symbol), interval=_scalar(interval), source=described
    )
    try:
        Strategy.model_validate(parse_yaml(text))
    except ValidationError as error:
        raise ConfigurationError(f"no strategy file was written: {describe(error)}") from error
    except yaml.YAMLError as error:  # a name with line breaks, which stands in the first comment too
        raise ConfigurationError(f"no strategy file was written: it would be no YAML: {error}") from error
    return text


def _scalar(text: str) -> str:
    """A text as YAML reads it back: quoted only where it would otherwise be read as something else."""
    return yaml.safe_dump([text], default_flow_style=True, width=sys.maxsize, allow_unicode=True).strip()[1:-1]
