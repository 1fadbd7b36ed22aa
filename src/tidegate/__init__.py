"""tidegate: a trading-signal model's way from market data to production, every month, with nobody fooling themselves.

Folders are the stages of the data's way, in reading order::

    bars -> validation -> features, labels -> dataset -> model -> backtest -> gates -> registry -> serving

`settings` and `strategy` hold the user's words, `policy` turns probabilities into positions (shared by the backtest and the
service), `pipeline` joins the stages, `report` shows the outcome, `services` starts servers and `cli` is the command line.
Prefect lives in the top-level folder `flows` only.
"""

from importlib.metadata import version

__version__ = version("tidegate")
