"""Bars: in come files, exchanges or the simulator; out comes one `Bars` type, and a store that never overwrites silently.

`bars.bars` and `bars.interval` need numpy only, and the serving container imports them. Sources and the store may import pyarrow.
"""
