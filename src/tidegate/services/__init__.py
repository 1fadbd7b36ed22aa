"""Servers of one machine: in come settings and strategy names; out come running servers, deployments and their addresses.

Imports no server: Prefect and MLflow run as child processes and are asked over HTTP.
"""
