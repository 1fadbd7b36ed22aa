"""Replay: in come a strategy and months of history, out comes what the whole procedure would have decided and earned, month by month."""
