"""The page of a monitoring run: a record in plain values comes in, one self-contained HTML page and a Markdown summary go out."""
