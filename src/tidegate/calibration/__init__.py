"""Calibration: in come a strategy and figures of its trades, out comes how often its gates and its rollback err, in simulated worlds. Pure."""
