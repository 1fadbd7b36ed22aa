"""Settings: in come defaults, `configs/*.yaml` and the environment; out comes one frozen, typed object. Imports nothing of tidegate but errors."""
