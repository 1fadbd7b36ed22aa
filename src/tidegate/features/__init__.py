"""Features: in come bars, out comes one row of numbers a bar, the same bits whether computed in a batch or alone. Numpy only."""
