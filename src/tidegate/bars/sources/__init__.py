"""Where bars come from: a strategy's source goes in, `RawBars` come out, as found and not yet judged.

What a file does not say clearly is detected from its whole content, or refused with the setting that would decide it. Whatever was
detected is named in the notes. Sources may import pyarrow (files) and ccxt (exchanges), never pandas.
"""

from tidegate.bars.sources.source import BarSource, RawBars, open_source

__all__ = ["BarSource", "RawBars", "open_source"]
