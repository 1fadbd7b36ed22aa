"""The backtest: in come bars and target positions; out come fills, trades, a net return series and metrics. Pure but for vectorbt."""
