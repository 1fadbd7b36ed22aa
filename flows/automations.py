"""Has Prefect itself tell people of runs that failed or did not start: what no run can tell when its own process is gone.

One automation for failures and one for late runs, each calling every webhook of `notify.webhook_urls`. The body is JSON with the fields of tidegate's
own notifications, so that a receiver reads both alike, and with `flow`, `run`, `run_id`, `state`, `message` and `link` besides.

It is less than what tidegate sends itself: Prefect signs nothing, tries once, counts any answer as delivered, and on a busy machine has been seen to tell
more than once of one run. What became of a try is among the events of Prefect as `prefect.automation.action.executed` or `.failed`.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import BlockDocumentCreate, BlockDocumentUpdate
from prefect.client.schemas.objects import BlockDocument, StateType
from prefect.events.actions import CallWebhook, ChangeFlowRunState
from prefect.events.schemas.automations import Automation, AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification

from tidegate.errors import ConfigurationError, ServiceError

TAG: Final = "tidegate"
"""Of the deployments whose runs are told of; the automations have it too."""
FAILED: Final = "tidegate: a run failed"
LATE: Final = "tidegate: a run did not start"
SILENT: Final = "tidegate: a run went silent"
SILENT_AFTER: Final = timedelta(minutes=10)
"""A run gives a sign of life every three minutes."""
LATE_AFTER: Final = timedelta(hours=1)
"""The pool has one place, so a run that waits for another one is late without anything being wrong."""

_BLOCK_PREFIX: Final = "tidegate-"
_BLOCK_TYPE: Final = "webhook"
_ENDS: Final = ("Failed", "Crashed", "TimedOut")
_STARTS: Final = ("Pending", "Running", "Completed", "Cancelling", "Cancelled", *_ENDS)
_RUN_ID: Final = "event.resource.id.rpartition('.')[2]"
_FLOW: Final = "(flow.name | default('a flow that is gone'))"
_STATE: Final = "event.resource['prefect.state-name']"
_MESSAGE: Final = "(event.resource['prefect.state-message'] | default('', true) | truncate(2000))"


@dataclass
class Automated:
    """What was done, by the automations' names."""

    created: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)


def ensure_automations(
    client: SyncPrefectClient, webhook_urls: Sequence[str], *, late_after: timedelta = LATE_AFTER
) -> Automated:
    """Create or update the automations and their webhooks; remove them where there are no addresses.

    Doing it again changes nothing, nor does it enable what a person has paused in Prefect.

    Args:
        client: of the server that runs the deployments.
        webhook_urls: http or https. Kept by Prefect as secrets, encrypted.
        late_after: how long after Prefect has called a run late it may still start without anybody being told; 10 s at least.

    Raises:
        ConfigurationError: an address is none. Nothing was changed.
        ServiceError: the server has no blocks of the type `webhook`.
    """
    urls = list(dict.fromkeys(webhook_urls))
    for number, url in enumerate(urls, 1):
        _require_address(number, url)
    outcome = Automated()
    blocks = {name: _ensure_block(client, name, url) for name, url in ((_block_name(url), url) for url in urls)}
    wanted = _wanted(_page(client), list(blocks.values()), late_after) if blocks else []
    for one in wanted:
        getattr(outcome, _ensure(client, one)).append(one.name)
    for name in sorted({FAILED, LATE} - {one.name for one in wanted}):
        for found in client.read_automations_by_name(name):
            client.delete_automation(found.id)
            outcome.removed.append(name)
    # Last: an automation may call none that is gone.
    for document in _blocks(client):
        if document.name not in blocks:
            client.delete_block_document(document.id)
    return outcome


def ensure_silent_ends(client: SyncPrefectClient, *, wanted: bool, silent_after: timedelta = SILENT_AFTER) -> Automated:
    """Have Prefect mark runs as crashed that give no sign of life, or have it no more.

    A container or a job may die after its worker, and then nobody else would: its run would hold the deployment's only place for ever.

    Args:
        client: of the server that runs the deployments.
        wanted: whether there is to be such an automation.
        silent_after: longest time between two signs of life; 10 s at least.
    """
    outcome = Automated()
    if wanted:
        getattr(outcome, _ensure(client, _silent(silent_after))).append(SILENT)
        return outcome
    for found in client.read_automations_by_name(SILENT):
        client.delete_automation(found.id)
        outcome.removed.append(SILENT)
    return outcome


def _silent(silent_after: timedelta) -> AutomationCore:
    trigger = EventTrigger(
        after=_events(["heartbeat"]),
        expect=_events(["heartbeat", "Completed", "Cancelled", *_ENDS]),
        match=_resource("prefect.flow-run.*"),
        match_related=_resource(f"prefect.tag.{TAG}", role="tag"),
        for_each={"prefect.resource.id"},
        posture=Posture.Proactive,
        threshold=1,
        within=silent_after,
    )
    message = f"It has given no sign of life for {_spoken(silent_after)}; a new run starts from the beginning."
    return AutomationCore(
        name=SILENT,
        description="Marks runs of tidegate's deployments as crashed that give no sign of life.",
        enabled=True,
        tags=[TAG],
        trigger=trigger,
        actions=[ChangeFlowRunState(name="Crashed", state=StateType.CRASHED, message=message)],
    )


def _wanted(page: str, blocks: Sequence[UUID], late_after: timedelta) -> list[AutomationCore]:
    failed = EventTrigger(
        expect=_events(_ENDS),
        match=_resource("prefect.flow-run.*"),
        match_related=_resource(f"prefect.tag.{TAG}", role="tag"),
        for_each={"prefect.resource.id"},
        posture=Posture.Reactive,
        threshold=1,
        within=timedelta(0),
    )
    late = EventTrigger(
        after=_events(["Late"]),
        expect=_events(_STARTS),
        match=_resource("prefect.flow-run.*"),
        match_related=_resource(f"prefect.tag.{TAG}", role="tag"),
        for_each={"prefect.resource.id"},
        posture=Posture.Proactive,
        threshold=1,
        within=late_after,
    )
    waited = (
        f"It has not started {_spoken(late_after)} after it was called late. Does the worker run, is its pool paused?"
    )
    return [
        _automation(
            FAILED,
            "Tells of every run of tidegate's deployments that fails, crashes or takes too long.",
            failed,
            blocks,
            _payload(page, "critical", f"'a run of ' ~ {_FLOW} ~ ' failed'", _MESSAGE),
        ),
        _automation(
            LATE,
            "Tells of every run of tidegate's deployments that did not start long after its time.",
            late,
            blocks,
            _payload(page, "warning", f"'a run of ' ~ {_FLOW} ~ ' did not start'", json.dumps(waited)),
        ),
    ]


def _automation(
    name: str, description: str, trigger: EventTrigger, blocks: Sequence[UUID], payload: str
) -> AutomationCore:
    actions = [CallWebhook(block_document_id=block, payload=payload) for block in blocks]
    return AutomationCore(
        name=name, description=description, enabled=True, tags=[TAG], trigger=trigger, actions=list(actions)
    )


def _payload(page: str, severity: str, title: str, body: str) -> str:
    """A template of Prefect's that renders to JSON.

    Args:
        page: address of Prefect's interface.
        severity: as tidegate's notifications have it.
        title: expression of Jinja.
        body: likewise.
    """
    link = f"{json.dumps(page)} ~ '/runs/flow-run/' ~ {_RUN_ID}"
    told = {
        "id": "event.id | string",
        "severity": json.dumps(severity),
        "title": title,
        "body": f"{body} ~ '\n' ~ {link}",
        "strategy": "flow_run.parameters.strategy | default('', true)",
        "subject": "event.resource['prefect.resource.name']",
        "created_at": "(event.occurred.timestamp() * 1000) | int",
        "flow": _FLOW,
        "run": "event.resource['prefect.resource.name']",
        "run_id": _RUN_ID,
        "state": _STATE,
        "message": _MESSAGE,
        "link": link,
    }
    return "{" + ", ".join(f'"{name}": {{{{ ({value}) | tojson }}}}' for name, value in told.items()) + "}"


def _ensure(client: SyncPrefectClient, wanted: AutomationCore) -> str:
    """Have one automation as wanted, but paused where it was.

    Returns:
        `created`, `updated` or `unchanged`.
    """
    every = client.read_automations_by_name(wanted.name)
    if not every:
        client.create_automation(wanted)
        return "created"
    found, *more = every
    for other in more:
        client.delete_automation(other.id)
    if _ours(found) == _ours(wanted):
        return "unchanged"
    client.update_automation(found.id, wanted.model_copy(update={"enabled": found.enabled}))
    return "updated"


def _ours(automation: Automation | AutomationCore) -> tuple[object, ...]:
    """What is ours to decide."""
    return automation.description, automation.tags, automation.trigger, automation.actions


def _ensure_block(client: SyncPrefectClient, name: str, url: str) -> UUID:
    """Have the block that holds an address."""
    # Without the header the text would come as no type at all.
    content: Mapping[str, Any] = {
        "method": "POST",
        "url": url,
        "headers": {"Content-Type": "application/json", "User-Agent": "tidegate-prefect"},
        # The receiver may well be within one's own network; who may set addresses may set this one.
        "allow_private_urls": True,
        "verify": True,
    }
    found = next((document for document in _blocks(client) if document.name == name), None)
    if found is not None:
        if found.data != content:
            changed = BlockDocumentUpdate(data=dict(content), merge_existing_data=False)
            client.update_block_document(found.id, changed)
        return found.id
    kind = client.read_block_type_by_slug(_BLOCK_TYPE)
    schema = client.get_most_recent_block_schema_for_block_type(kind.id)
    if schema is None:
        raise ServiceError(
            "Prefect's server cannot keep the addresses of webhooks",
            expected=f"a schema of the block type {_BLOCK_TYPE}",
            actual="none",
            next_step="PREFECT_API_BLOCKS_REGISTER_ON_START must not be off at its start",
        )
    made = BlockDocumentCreate(name=name, data=dict(content), block_schema_id=schema.id, block_type_id=kind.id)
    return client.create_block_document(made).id


def _blocks(client: SyncPrefectClient) -> list[BlockDocument]:
    """Blocks that this module has made."""
    found = client.read_block_documents_by_type(_BLOCK_TYPE, include_secrets=True)
    return [document for document in found if document.name and document.name.startswith(_BLOCK_PREFIX)]


def _block_name(url: str) -> str:
    """A name that tells addresses apart and shows none."""
    return _BLOCK_PREFIX + hashlib.sha256(url.encode()).hexdigest()[:16]


def _page(client: SyncPrefectClient) -> str:
    """Address of the interface, which is beside the API."""
    return str(client.api_url).rstrip("/").removesuffix("/api")


def _events(states: Sequence[str]) -> set[str]:
    return {f"prefect.flow-run.{state}" for state in states}


def _resource(name: str, *, role: str | None = None) -> ResourceSpecification:
    labels = {"prefect.resource.id": name} | ({} if role is None else {"prefect.resource.role": role})
    return ResourceSpecification.model_validate(labels)


def _spoken(span: timedelta) -> str:
    """A span in words.

    >>> _spoken(timedelta(hours=1)), _spoken(timedelta(minutes=10)), _spoken(timedelta(seconds=10))
    ('60 minutes', '10 minutes', '10 seconds')
    """
    minutes, rest = divmod(int(span.total_seconds()), 60)
    return f"{minutes} minutes" if minutes and not rest else f"{int(span.total_seconds())} seconds"


def _require_address(number: int, url: str) -> None:
    try:
        address = urlsplit(url)
        usable = address.scheme in {"http", "https"} and bool(address.hostname) and address.port != 0
    except ValueError:
        usable = False
    if not usable or not url.isascii() or not url.isprintable() or " " in url:
        raise ConfigurationError(
            f"address {number} for notifications is none",  # which may hold a token, so it is not shown
            expected="such as https://host/path",
            setting="notify.webhook_urls",
        )
