"""The processes' own logs: JSON lines with the ids that tie them together, rotated, sent on by syslog over TCP."""
