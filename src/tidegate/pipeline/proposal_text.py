"""A proposal as Markdown with its evidence, and as the change to a strategy file that people may make."""

from typing import Final

import yaml

from tidegate.pipeline.proposal import LEVEL, MOST_OVERFITTING, Alternative, Proposal
from tidegate.report import formats
from tidegate.report.markdown_text import literal

SHOWN: Final = 40
_LONGEST_REASON: Final = 1_500


def headline(proposal: Proposal) -> str:
    """What is advised, in a sentence."""
    chosen = proposal.chosen
    if chosen is None:
        return f"Keep the present configuration of {proposal.strategy}"
    return f"A change of {proposal.strategy} is proposed: {chosen.title}"


def because(proposal: Proposal) -> str:
    """Why, in a sentence or two."""
    compared = formats.plural(len(proposal.alternatives), "alternative")
    chosen = proposal.chosen
    if chosen is not None:
        return (
            f"Its out-of-fold Sharpe ratio is {formats.decimal(chosen.sharpe)} against {formats.decimal(chosen.present_sharpe)}, "
            f"p {formats.tiny(chosen.p_value)} (under {formats.tiny(proposal.level)} is asked for, with {compared}), probability of "
            f"overfitting {formats.decimal(chosen.overfitting)}."
        )
    if not proposal.trials:
        return "No trial has been recorded."
    if not proposal.alternatives:
        return "Nothing else was tried on enough of the same bars to be compared."
    best = proposal.alternatives[0]
    reasons = formats.enumerate_words(best.against)
    return f"None of {compared} has enough evidence. The best of them, {best.title}: {reasons}."


def to_markdown(proposal: Proposal) -> str:
    """The proposal with all its evidence, the best alternatives first."""
    counts = (
        f"{formats.plural(proposal.trials, 'trial')} of {formats.plural(proposal.retrains, 'retrain')}, "
        f"{formats.plural(len(proposal.alternatives), 'alternative')} compared, {proposal.too_few} tried on too few bars."
    )
    lines = [
        f"# {literal(headline(proposal))}",
        "",
        f"{proposal.month}. {counts}",
        "",
        literal(because(proposal), longest=_LONGEST_REASON),
        "",
    ]
    if proposal.alternatives:
        lines += [
            "| Verdict | Change | Sharpe | Present | Difference, 95 % | p | Deflated | Overfitting | Days | Folds | Against it |",
            "|:--|:--|--:|--:|--:|--:|--:|--:|--:|--:|:--|",
            *(_row(each) for each in proposal.alternatives[:SHOWN]),
            "",
        ]
    if len(proposal.alternatives) > SHOWN:
        lines += [f"{len(proposal.alternatives) - SHOWN} further alternatives are in the JSON answer only.", ""]
    lines += [
        "Sharpe ratios are annual, net of costs and out of fold, over the bars that an alternative and the present choice both have. An alternative passes where the",
        f"difference is above zero, its two-sided p-value under {LEVEL:g} over the number of alternatives, and the probability of overfitting among those of its kind at most",
        f"{MOST_OVERFITTING:g}. Deflated: the probability that its true ratio exceeds what the best of all trials would reach by luck; shown, and not asked for.",
        "Nothing is applied by itself. To follow a proposal, put the YAML beside this file into the strategy file, and retrain: the gates judge it like any other model.",
        "",
    ]
    return "\n".join(lines)


def _row(each: Alternative) -> str:
    verdict = "\u2713 passes" if each.passes else "\u2715"
    interval = f"{formats.decimal(each.difference, signed=True)} ({formats.interval((each.low, each.high), 'ratio')})"
    cells = (
        verdict,
        each.title,
        formats.decimal(each.sharpe),
        formats.decimal(each.present_sharpe),
        interval,
        formats.tiny(each.p_value),
        formats.decimal(each.deflated),
        formats.decimal(each.overfitting),
        formats.decimal(each.days, 0),
        str(each.folds),
        "; ".join(each.against),
    )
    return f"| {' | '.join(literal(cell) for cell in cells)} |"


def to_yaml(proposal: Proposal) -> str:
    """The change to the strategy file, or an empty mapping where nothing is proposed."""
    patch = {} if proposal.chosen is None else dict(proposal.chosen.patch)
    said = f"# {proposal.month}: {headline(proposal)}.\n# {because(proposal)}\n# Never applied by itself.\n"
    return said + yaml.safe_dump(patch, sort_keys=False)
