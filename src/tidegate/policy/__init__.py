"""The position policy: in come a probability and the position held; out comes the next target. Pure, shared by backtest, service and clients."""
