"""The page about one monitoring run: one HTML file, complete without scripts, and a summary as Markdown.

In: a `MonitorRecord`. Out: text. Uses the report's charts, tables and style; decides nothing.
"""
