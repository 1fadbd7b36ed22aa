"""The prediction log: in come rows, out come files in which every acknowledged row is found again."""
