"""The processes' own logs: JSON lines with the ids that tie them together, rotated, sent on by syslog over TCP.

In: `settings.logs` and records of `logging`. Out: one line a record, on standard error, in a file, to a syslog server. The standard library is all
that it needs, since the serving container logs by it too.
"""
