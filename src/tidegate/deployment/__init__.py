"""A deployment as the production checklist has it: one command that can be killed at every step and given again.

In: a strategy, a version, an installation. Out: the version in production and watched, or the old one back; a journal in the event ledger, and a record.

May import everything but the checklist and the command line.
"""
