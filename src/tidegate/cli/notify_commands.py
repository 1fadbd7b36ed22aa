"""`notify test`, `notify undelivered`, `notify retry`: whether people are told."""

from typing import TYPE_CHECKING

import typer

from tidegate.cli.context import open_project
from tidegate.cli.output import AsJson, console, print_json, print_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tidegate.notify.notification import Notification
    from tidegate.notify.notifier import Notifier

PANEL = "Servers and settings"
_COLUMNS = ("at (UTC)", "severity", "strategy", "title", "missing", "rounds", "why")


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(
        no_args_is_help=True, help="Try the ways by which people are told, and see what did not arrive."
    )
    group.command("test")(try_channels)
    group.command()(undelivered)
    group.command()(retry)
    app.add_typer(group, name="notify", rich_help_panel=PANEL)


def try_channels(*, as_json: AsJson = False) -> None:
    """Send a notification to every webhook and mail address of the settings, and show what each receiver answered.

    Exits with 7 where one has not taken it.
    """
    from tidegate.errors import ConfigurationError, DeliveryFailed

    notifier = _notifier()
    if not notifier.channels:
        raise ConfigurationError(
            "nobody is told of anything",
            expected="a webhook or a mail server",
            setting="notify.webhook_urls",
            next_step="set TIDEGATE_NOTIFY__WEBHOOK_URLS, or TIDEGATE_NOTIFY__SMTP_HOST and TIDEGATE_NOTIFY__MAIL_TO",
        )
    outcomes = notifier.test()
    failed = [outcome for outcome in outcomes if outcome.proof is None]
    if as_json:
        print_json(
            [
                {"channel": each.channel, "tries": each.tries, "proof": each.proof, "reason": each.reason}
                for each in outcomes
            ]
        )
        raise typer.Exit(DeliveryFailed.exit_code if failed else 0)
    rows = [(each.channel, each.tries, "taken" if each.proof else "FAILED", _shown(each.proof)) for each in outcomes]
    print_table("Test notification", ("channel", "tries", "result", "proof"), rows)
    if failed:
        raise DeliveryFailed(
            f"{len(failed)} of {len(outcomes)} channels have not taken it",
            expected="every receiver's answer",
            actual="; ".join(f"{each.channel}: {each.reason}" for each in failed),
            next_step="correct the settings of `notify`, or the receiver, and test again",
        )


def undelivered(*, as_json: AsJson = False) -> None:
    """Show notifications that did not reach every receiver, of the last 30 days."""
    notifier = _notifier()
    _show(notifier.undelivered(), notifier.channels, as_json=as_json)


def retry(*, as_json: AsJson = False) -> None:
    """Try everything that is undelivered now, and show what still is; exit with 7 where something is.

    `tidegate watch` does so by itself, with growing pauses, for three days.
    """
    from tidegate.errors import DeliveryFailed

    notifier = _notifier()
    left = notifier.retry(at_once=True)
    _show(left, notifier.channels, as_json=as_json)
    if left:
        raise typer.Exit(DeliveryFailed.exit_code)


def _notifier() -> "Notifier":
    from tidegate.notify.notifier import Notifier
    from tidegate.registry.events import EventLedger

    settings = open_project().settings
    return Notifier(settings, EventLedger.from_settings(settings))


def _show(found: "Sequence[Notification]", channels: "Sequence[str]", *, as_json: bool) -> None:
    if as_json:
        print_json([_fields(each, channels) for each in found])
    elif not found:
        console.print("everything was delivered")
    else:
        print_table(
            "Undelivered notifications", _COLUMNS, [_cells(each, channels) for each in found], whole=_COLUMNS[:2]
        )


def _fields(notification: "Notification", channels: "Sequence[str]") -> dict[str, object]:
    return {
        "id": notification.id,
        "created_at": notification.created_at,
        "severity": notification.severity,
        "strategy": notification.strategy,
        "subject": notification.subject,
        "title": notification.title,
        "missing": notification.missing(channels),
        "failures": {
            name: {"reason": each.reason, "rounds": each.rounds} for name, each in notification.failures.items()
        },
    }


def _cells(notification: "Notification", channels: "Sequence[str]") -> tuple[object, ...]:
    from tidegate.bars.bars import iso

    failures = notification.failures
    return (
        iso(notification.created_at)[:16].replace("T", " "),
        notification.severity,
        notification.strategy,
        notification.title,
        ", ".join(notification.missing(channels)),
        max((each.rounds for each in failures.values()), default=0),
        "; ".join(sorted({each.reason for each in failures.values()})) or "under way",
    )


def _shown(proof: object) -> str:
    return ", ".join(f"{name} {value}" for name, value in proof.items()) if isinstance(proof, dict) else ""
