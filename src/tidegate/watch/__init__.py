"""The watch: one process beside the serving processes that looks at them every few seconds, judges, and acts by the rollback rules.

In: `/metrics`, `/readyz` and `/v1/bots` of every instance, the ledgers, MLflow's aliases. Out: rollbacks, incidents, notifications, and metrics of
its own that hold the figures of the flows too.
"""
