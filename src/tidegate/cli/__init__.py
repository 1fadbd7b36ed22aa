"""The command line: in come words, out come tables, JSON and exit codes. Knows every other part; nothing knows it."""
