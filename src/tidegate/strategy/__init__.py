"""Strategies: in comes one YAML file of the user's, out comes a frozen, typed `Strategy`. Imports policy-free types only."""
