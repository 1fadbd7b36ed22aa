"""Statistics of net returns and trades: in come arrays and backtests, out come probabilities, intervals and tests, each with its source. Pure."""
