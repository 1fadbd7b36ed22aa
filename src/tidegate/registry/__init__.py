"""The registry: what was trained, what was promoted, by whom and why.

In: bundles, gate decisions, trials. Out: MLflow runs and versions, rows of the ledgers, the aliases `challenger`, `production` and
`previous`.

- `schema`, `database`: the tables of one SQL database and how transactions begin. The home of SQLAlchemy.
- `chain`, `ledger`: the append-only promotion ledger and its hash chain.
- `trials`, `retrains`: the trial ledger, reads of test windows, one retrain a strategy and month.
- `tracking`: runs, versions, aliases and artifacts in MLflow. The home of mlflow.
- `rules`: every reason to refuse a promotion, as pure functions.
- `promotion`, `repair`, `comparison`: the acts themselves.

May import: bars, errors, settings, strategy, gates.result, model.manifest. Never prefect, xgboost, vectorbt, Great Expectations.
"""
