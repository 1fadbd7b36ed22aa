"""Validation: in come raw bars, out come clean bars, the rows set aside with their reasons, and findings that pass or fail.

`constraints` and `calendar` need numpy only, and the serving container imports `constraints`; `expectations` is the only home of
Great Expectations. Nothing here imports Prefect, MLflow or the bar sources.
"""
