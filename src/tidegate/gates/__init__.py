"""Gates: in come measurements, out comes one result a gate, and a decision that is `promote` only if every blocking gate passed."""
