"""One run under several policies: what the deciding one says, and what the others would have said."""

from collections.abc import Callable, Iterable, Mapping

from tidegate.gates.evaluation import Measurement, decide, evaluate
from tidegate.gates.result import Decision, GateResult, PolicyVerdict, Verdict
from tidegate.strategy.gates import DEFAULT_POLICY, Gates
from tidegate.strategy.policies import under

Measured = Callable[[Gates], Mapping[str, Measurement]]


def decide_by(
    strategy: str, manifest_digest: str, measured: Measured, own: Gates, policies: Mapping[str, Gates]
) -> Decision:
    """Decide by the strategy's own gates, and put beside it what each named policy says of the same run.

    Args:
        strategy: its name.
        manifest_digest: SHA-256 of the manifest that is judged.
        measured: the measurements as a policy needs them; only bounds that depend on the policy differ.
        own: the strategy's gates.
        policies: by name; the strategy's thresholds hold under each, what blocks is the policy's.
    """
    results = evaluate(measured(own), own)
    others = {name: under(own, policy, policies) for name, policy in policies.items() if name != own.policy}
    verdicts = {name: _verdict(evaluate(measured(gates), gates)) for name, gates in others.items()}
    verdicts[own.policy] = _verdict(results)
    decision = decide(strategy, manifest_digest, results)
    return decision.model_copy(
        update={
            "policy": own.policy,
            "verdicts": {name: verdicts[name] for name in (*policies, own.policy) if name in verdicts},
            "points": _verdict(each for each in results if each.family == "point"),
            "statistics": _statistics(results, policies),
        }
    )


def _statistics(results: tuple[GateResult, ...], policies: Mapping[str, Gates]) -> PolicyVerdict:
    """The statistical gates that block; where the policy lets none of them block, those of the default policy."""
    found = [each for each in results if each.family == "statistic"]
    if any(each.blocking for each in found):
        return _verdict(found)
    rules = policies.get(DEFAULT_POLICY, Gates()).rules()
    blocking = [each for each in found if rules[each.name].blocking]
    refused = tuple(each.name for each in blocking if each.verdict is not Verdict.PASS)
    return PolicyVerdict(promote=bool(blocking) and not refused, refused_by=refused)


def _verdict(results: Iterable[GateResult]) -> PolicyVerdict:
    found = list(results)
    refused = tuple(each.name for each in found if each.refuses)
    unmeasured = tuple(name for name in refused if name == "permuted_labels" and _not_asked(found, name))
    return PolicyVerdict(promote=bool(found) and not refused, refused_by=refused, unmeasured=unmeasured)


def _not_asked(results: list[GateResult], name: str) -> bool:
    return any(each.name == name and each.verdict is Verdict.NOT_ENOUGH_EVIDENCE and not each.n for each in results)
