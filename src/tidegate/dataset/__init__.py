"""The dataset: in come features and labels, out come walk-forward folds whose training rows know nothing of the test. Numpy only."""
