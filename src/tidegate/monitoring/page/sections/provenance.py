"""What the run was computed from, so that it can be done again."""

from tidegate.monitoring.page.record import MonitorRecord
from tidegate.report import formats


def facts(record: MonitorRecord) -> tuple[tuple[str, str], ...]:
    """As pairs of name and value."""
    live, own, costs = record.live, record.own, record.strategy.costs
    found = [
        ("Period", record.period),
        ("As of", formats.moment(record.as_of)),
        ("Window", f"{formats.moment(record.window_start_at)} to {formats.moment(record.as_of)}"),
        ("Version judged", "none" if record.version is None else f"v{record.version}"),
        ("In production after the run", "none" if record.now is None else f"v{record.now}"),
        ("Bundle of the version", "not known" if own is None or not own.bundle_digest else own.bundle_digest),
        (
            "Costs assumed a side",
            (
                f"fee {formats.quantity(costs.fee_bps, 'bps')}, half spread {formats.quantity(costs.half_spread_bps, 'bps')}, "
                f"slippage {formats.quantity(costs.slippage_bps, 'bps')}"
            ),
        ),
        (
            "Where no answer was",
            f"the bot is {'flat' if record.strategy.monitor.without_answer == 'flat' else 'holding'}",
        ),
    ]
    if live is not None:
        found += [(f"Bars of {symbol}", digest) for symbol, digest in live.snapshot.items()]
    return tuple(found)
