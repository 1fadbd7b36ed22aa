"""Labels: in come bars and costs, out comes the outcome of an entry after each bar, with the time at which it is known. Numpy only."""
