"""What the model in production does, from the prediction log and the bars that came after.

In: rows of the prediction log, validated bars, the manifest of each version. Out: live figures, drift, the sequential test, and the page about them.
Computation is pure; only `predictions` reads the log. Knows serving's log and the stages before; never acts.
"""
