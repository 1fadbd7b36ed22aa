"""The record of a deployment, as JSON and as Markdown."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tidegate.bars.bars import iso
from tidegate.deployment.journal import Entry, Plan
from tidegate.durable import write_whole
from tidegate.registry.rules import named


def record_content(name: str, plan: Plan, entries: Mapping[str, Entry]) -> dict[str, Any]:
    """The record: date, by whom, version, changes, whether the rollback plan was verified, and each step with its evidence.

    Args:
        name: the deployment's id.
        plan: what was to change.
        entries: by step.
    """
    times = [entry.at for entry in entries.values()]
    told = asdict(plan) | {"changes": list(plan.changes)}
    return told | {
        "id": name,
        "date": iso(min(times))[:10],
        "began_at": iso(min(times)),
        "ended_at": iso(max(times)),
        "verdict": entries["verdict"].outcome,
        "steps": [
            {
                "name": entry.name,
                "at": iso(entry.at),
                "by": entry.by,
                "outcome": entry.outcome,
                "evidence": entry.evidence,
                "details": dict(entry.details),
            }
            for entry in entries.values()
        ],
    }


def as_markdown(content: Mapping[str, Any]) -> str:
    """The record for people, with the fields of the production checklist's form."""
    verified = "yes" if content["rollback_verified"] else "no"
    lines = [
        f"# Deployment of {content['strategy']} {named(content['version'])}",
        "",
        f"- Deployment: {content['id']}",
        f"- Deployment date: {content['date']} ({content['began_at']} to {content['ended_at']})",
        f"- Deployed by: {content['by']}",
        f"- Model version: {named(content['version'])}, before: {named(content['from_version'])}",
        f"- Manifest digest: {content['digest']}",
        f"- Rollback plan verified: {verified} (back to {named(content['rollback_to'])})",
        f"- Verdict: {content['verdict'].replace('_', ' ')}",
        f"- Reason: {_cell(content['reason'])}",
        "",
        "## Changes",
        "",
        *[f"- {change}" for change in content["changes"] or ["none in the model"]],
        "",
        "## Steps",
        "",
        "| step | at (UTC) | outcome | seen |",
        "|---|---|---|---|",
        *[
            f"| {step['name']} | {step['at']} | {step['outcome'].replace('_', ' ')} | {_cell(step['evidence'])} |"
            for step in content["steps"]
        ],
    ]
    return "\n".join(lines) + "\n"


def write_record(folder: Path, content: Mapping[str, Any]) -> tuple[Path, Path]:
    """Write both files, each whole or not at all, and return their paths.

    Raises:
        OSError: the folder cannot be written to.
    """
    made = {
        folder / f"{content['id']}.json": json.dumps(content, indent=1, allow_nan=False) + "\n",
        folder / f"{content['id']}.md": as_markdown(content),
    }
    for path, text in made.items():
        write_whole(path, text)
    first, second = made
    return first, second


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
