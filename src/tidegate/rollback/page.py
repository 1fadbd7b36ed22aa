"""What a rollback came to, as Markdown."""

from tidegate.rollback.procedure import ActReport


def markdown(strategy: str, report: ActReport) -> str:
    """The report with a table of the serving processes."""
    lines = [f"# {_cell(strategy)}: {_cell(report.message)}", ""]
    if report.suppressed:
        lines += [f"Held back: {_cell(report.suppressed)}.", ""]
    if report.incident is not None:
        lines += [f"Incident `{report.incident}` is open.", ""]
    verification = report.verification
    if verification is None:
        return "\n".join([*lines, "The serving processes were not asked.", ""])
    lines += [f"**{_cell(verification.summary())}**", ""]
    if verification.instances:
        lines += ["| instance | address | state | after | detail |", "|---|---|---|---|---|"]
    for one in verification.instances:
        after = "" if one.after_s is None else f"{one.after_s:.1f} s"
        lines.append(f"| {_cell(one.instance)} | {_cell(one.address)} | {one.state} | {after} | {_cell(one.detail)} |")
    return "\n".join([*lines, ""])


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
