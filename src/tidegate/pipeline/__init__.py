"""The pipeline: joins the stages into the monthly retraining. Knows every stage, but neither Prefect nor the command line."""
