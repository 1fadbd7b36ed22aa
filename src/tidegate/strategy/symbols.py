"""A strategy for other symbols than its file names, by the same rules."""

from collections.abc import Sequence

from pydantic import ValidationError

from tidegate.errors import ConfigurationError
from tidegate.settings.loading import describe
from tidegate.strategy.strategy import Strategy, slug

_PLACE = "{symbol}"


def named_symbols(text: str) -> tuple[str, ...]:
    """Symbols of a list with commas, in its order.

    >>> named_symbols("BTC/USDT, ETH/USDT")
    ('BTC/USDT', 'ETH/USDT')

    Raises:
        ConfigurationError: none is named.
    """
    found = tuple(part.strip() for part in text.split(",") if part.strip())
    if not found:
        raise ConfigurationError("no symbol is named", expected="a list such as BTC/USDT,ETH/USDT", actual=repr(text))
    return found


def with_symbols(strategy: Strategy, symbols: Sequence[str]) -> Strategy:
    """The strategy as if its file named these symbols.

    Where the file makes one model a symbol, one symbol alone keeps the name of its model.

    Args:
        strategy: as its file says.
        symbols: such as BTC/USDT, one or more.
    Raises:
        ConfigurationError: a rule of the strategy file does not hold with them, or all symbols would have the bars of one.
    """
    if tuple(symbols) == strategy.symbols:
        return strategy
    path = getattr(strategy.source, "path", None)
    if path is not None and _PLACE not in path:
        raise ConfigurationError(
            f"{strategy.name}: the source's path is the same for every symbol, so other symbols would have the bars of "
            f"{', '.join(strategy.symbols)}",
            expected=f"{_PLACE} in the path",
            actual=path,
            setting="source.path",
            next_step=f"name the file {slug(symbols[0])}.csv, for one, and write {_PLACE}.csv into the path",
        )
    try:
        found = Strategy.model_validate(strategy.model_dump() | {"symbols": tuple(symbols)})
    except ValidationError as error:
        raise ConfigurationError(
            f"{strategy.name} cannot have the symbols {', '.join(symbols)}: {describe(error)}", setting="symbols"
        ) from error
    if strategy.combine == "separate" and len(strategy.symbols) > 1 and len(symbols) == 1:
        return found.model_copy(update={"name": f"{strategy.name}-{slug(symbols[0])}", "combine": "pooled"})
    return found
