"""The prediction log: in come rows, out come files in which every acknowledged row is found again.

`writer.PredictionLog` writes, `group.GroupCommit` lets the requests of one turn of the event loop share one write, `reader` reads and
verifies. The form of the files is the contract docs/contracts/prediction-log.md. Nothing but msgspec and the standard library is needed.
"""
