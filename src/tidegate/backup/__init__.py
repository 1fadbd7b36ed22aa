"""Backups: what an installation cannot make again is copied with restic, looked at, restored, and restored for practice.

In: databases, artifacts, bars, records and configuration of an installation. Out: snapshots in a repository, findings about damage, restored folders,
and the seconds that a restore takes. restic and PostgreSQL's programs are run as programs, each from one module. Only the command line and flows know this package.
"""
