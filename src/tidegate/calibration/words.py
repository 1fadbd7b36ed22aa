"""What a calibration takes for granted, in words."""

import math

from tidegate.calibration.worlds import LOOKS_A_YEAR, MONTH_DAYS, Plan


def assumptions(plan: Plan) -> tuple[str, ...]:
    """Sentences for the page; each names something that is simpler here than in the market or in production."""
    figures, watch = plan.figures, plan.watch
    clustered = (
        f"any two trades of a day win together with correlation {figures.clustering:.2f}"
        if figures.clustering > 0
        else "trades win independently of one another"
    )
    acts = (
        "its alarm takes the version out of production on the next day; nothing is traded until the next promotion, since what could be gone back to "
        "has mostly expired, and a person is taken to have ended a halt before the next look"
        if watch.acts
        else "its alarm only tells people here (rollback.sequential_action), so nothing is ever rolled back"
    )
    return (
        (
            "Days are independent and the market never changes: no volatility that comes in clusters, no slow decay of an edge. Real returns are "
            "less kind, so that real error rates are higher where losses follow losses."
        ),
        f"Skill is the win rate: {figures.trades_per_day:.3g} trades a day, profits, losses and costs are those of the figures above in every world, and {clustered}.",
        (
            f"A look judges the newest {plan.pool_months} months of {MONTH_DAYS} days, and one month later the same window moved on by one; a year is {LOOKS_A_YEAR} looks. "
            "Statistics are taken of daily returns, in production of returns a bar."
        ),
        (
            f"Every version the procedure makes has the procedure's true skill. Its trades in production have a share in common with the pooled test's, so that daily "
            f"returns correlate with {figures.correlation:.2f}."
        ),
        (
            "A challenger meets the champion on the newest month, which the champion was promoted before. An expired version still is the champion to beat; "
            "after a rollback there is none."
        ),
        f"A version expires {watch.age_days} market days after its promotion. The sequential test is designed from the pool that promoted it; {acts}.",
        "Skill is the same in trending, ranging and volatile markets.",
        f"Drawdowns are those of daily closes times {figures.drawdown_factor:.2f}, by which the bars of the figures' run were deeper.",
        f"Trials: {plan.trials[0]} in the ledger at the first look, {plan.trials[1]} more with each, their annual Sharpe ratios scattered by {math.sqrt(plan.trial_variance * figures.days_per_year):.1f}.",
        (
            "The bootstrap's lower end of the Sharpe ratio is taken by the normal approximation, random entries by the normal distribution of their Sharpe ratio, the "
            "difference from the champion by its asymptotic error."
        ),
        f"Opening and closing positions when a version enters or leaves costs nothing here; each would be at most {figures.cost * 1e4:.1f} bp of the capital.",
    )
