"""How months are trained side by side, as a port: in this process here, on Dask in `tidegate.replay.workers`.

What crosses the border is plain text: the path of a month's folder goes out, the path of what was trained comes back. Bars and models stay
in files that both sides see.
"""

from collections.abc import Callable, Iterator, Sequence

Mapper = Callable[[Callable[[str], str], Sequence[str]], Iterator[str]]
"""A function of one text, texts -> what it made of them, in their order; earlier ones may be had before later ones are done."""


def in_order(function: Callable[[str], str], references: Sequence[str]) -> Iterator[str]:
    """One after the other, each when it is asked for.

    >>> list(in_order(str.upper, ["a", "b"]))
    ['A', 'B']
    """
    for reference in references:
        yield function(reference)
