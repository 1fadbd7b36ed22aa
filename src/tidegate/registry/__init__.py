"""The registry: what was trained, what was promoted, by whom and why.

In: bundles, gate decisions, trials. Out: MLflow runs and versions, rows of the ledgers, the aliases `challenger`, `production` and
`previous`.

- `schema`, `database`: the tables of one SQL database and how transactions begin. The home of SQLAlchemy.
- `chain`, `ledger`: the append-only promotion ledger and its hash chain.
- `trials`, `retrains`: the trial ledger, reads of test windows, one retrain a strategy and month.
- `tracking`: runs, versions, aliases and artifacts in MLflow. The home of mlflow.
- `rules`: every reason to refuse a promotion, as pure functions.
- `promotion`, `repair`, `comparison`: the acts themselves.
- `publishing`: signs the acts, and tells serving processes what may be served.
- `instances`: what serving processes say of themselves.
- `opening`: the promoter that the settings name.

May import: bars, errors, settings, strategy, keys, gates.result, model.manifest. Never prefect, xgboost, vectorbt, Great Expectations.
"""
