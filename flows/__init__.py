"""Prefect and nothing else: each flow reads like a sentence and calls `tidegate`. Importing starts nothing."""
