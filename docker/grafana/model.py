"""The dashboard of the model in production."""
# ruff: noqa: INP001  build.py is run as a script, from its own folder

from panels import BY_STRATEGY, PLAIN, STRATEGY, Dashboard, Panel, worse_above, worse_below

MODEL = Dashboard(
    "tidegate-model",
    "tidegate: model",
    "What the model in production does, against what its backtest promised.",
    ("strategy", "tidegate_production_version"),
    (
        (
            "Now",
            (
                Panel(
                    "In production",
                    "Version that the ledger has in production; 0: none.",
                    "none",
                    ((f"max by (strategy) (tidegate_production_version{{{STRATEGY}}})", BY_STRATEGY),),
                    worse_below(1),
                    "stat",
                    4,
                ),
                Panel(
                    "Halted",
                    "1 while the strategy is halted: its bots hold nothing.",
                    "bool_yes_no",
                    (
                        (
                            f"max by (strategy) (tidegate_halted{{{STRATEGY}}} or tidegate_strategy_halted{{{STRATEGY}}})",
                            BY_STRATEGY,
                        ),
                    ),
                    worse_above(1),
                    "stat",
                    4,
                ),
                Panel(
                    "Refused version",
                    "Version that the registry names and a serving process refuses; 0: none.",
                    "none",
                    ((f"max by (strategy) (tidegate_refused_version{{{STRATEGY}}})", BY_STRATEGY),),
                    worse_above(1),
                    "stat",
                    4,
                ),
                Panel(
                    "Time in production",
                    "Since the ledger's last change of the version in production.",
                    "s",
                    ((f"time() - max by (strategy) (tidegate_promoted_timestamp_seconds{{{STRATEGY}}})", BY_STRATEGY),),
                    worse_above(35 * 86_400),
                    "stat",
                    4,
                ),
                Panel(
                    "Expires in",
                    "Until the model only abstains. A week before is an alert.",
                    "s",
                    (
                        (
                            f'min by (strategy) (tidegate_model_expires_timestamp_seconds{{{STRATEGY},role="production"}} > 0) - time()',
                            BY_STRATEGY,
                        ),
                    ),
                    ((None, "red"), (0, "orange"), (7 * 86_400, "green")),
                    "stat",
                    4,
                ),
                Panel(
                    "Loaded ago",
                    "Since the youngest process loaded the model that it serves.",
                    "s",
                    (
                        (
                            f'time() - max by (strategy) (tidegate_model_loaded_timestamp_seconds{{{STRATEGY},role="production"}} > 0)',
                            BY_STRATEGY,
                        ),
                    ),
                    PLAIN,
                    "stat",
                    4,
                ),
            ),
        ),
        (
            "Live against promised",
            (
                Panel(
                    "Win rate",
                    "Live, promised by the backtest, foretold by the model's own probabilities, and the challenger's beside it. The rule's bound is rollback.win_rate.",
                    "percentunit",
                    (
                        (f"tidegate_live_win_rate{{{STRATEGY}}}", "live {{strategy}}"),
                        (f"tidegate_promised_win_rate{{{STRATEGY}}}", "promised {{strategy}}"),
                        (f"tidegate_estimated_win_rate{{{STRATEGY}}}", "estimated {{strategy}}"),
                        (f"tidegate_shadow_win_rate{{{STRATEGY}}}", "challenger {{strategy}}"),
                    ),
                    worse_below(0.52),
                ),
                Panel(
                    "Sharpe ratio",
                    "Annual: live, promised by the backtest, and the challenger's. The rule's bound is rollback.sharpe.",
                    "none",
                    (
                        (f"tidegate_live_sharpe{{{STRATEGY}}}", "live {{strategy}}"),
                        (f"tidegate_promised_sharpe{{{STRATEGY}}}", "promised {{strategy}}"),
                        (f"tidegate_shadow_sharpe{{{STRATEGY}}}", "challenger {{strategy}}"),
                    ),
                    worse_below(1.0),
                ),
                Panel(
                    "Return and drawdown",
                    "Net profit and largest loss from a peak, over the capital, within the window of the newest run.",
                    "percentunit",
                    (
                        (f"tidegate_live_return{{{STRATEGY}}}", "return {{strategy}}"),
                        (f"tidegate_live_max_drawdown{{{STRATEGY}}}", "drawdown {{strategy}}"),
                    ),
                    worse_above(0.15),
                ),
                Panel(
                    "Closed trades",
                    "Within the window of the newest run. Few trades say little about all the rest.",
                    "none",
                    ((f"tidegate_live_trades{{{STRATEGY}}}", BY_STRATEGY),),
                    worse_below(10),
                ),
                Panel(
                    "Sequential test",
                    "The statistic after the newest closed trade, and the threshold at which it alarms and, by default, rolls back.",
                    "none",
                    (
                        (f"tidegate_sequential_statistic{{{STRATEGY}}}", "statistic {{strategy}}"),
                        (f"tidegate_sequential_threshold{{{STRATEGY}}}", "threshold {{strategy}}"),
                    ),
                ),
                Panel(
                    "Calibration error",
                    "Mean distance between foretold and observed shares of wins. It has no rule; read it with the number of trades.",
                    "percentunit",
                    ((f"tidegate_calibration_error{{{STRATEGY}}}", BY_STRATEGY),),
                    worse_above(0.1),
                ),
            ),
        ),
        (
            "Inputs",
            (
                Panel(
                    "Drift by feature",
                    "Population stability index against the training; of label_rate the difference. Under monitor.drift_effect it is no drift.",
                    "none",
                    ((f"tidegate_drift_effect{{{STRATEGY}}}", "{{strategy}} {{feature}}"),),
                    worse_above(0.1, 0.2),
                ),
                Panel(
                    "Drifted",
                    "Number of features, predictions and label rates that drifted.",
                    "none",
                    ((f"tidegate_drifted_features{{{STRATEGY}}}", BY_STRATEGY),),
                    worse_above(1),
                ),
                Panel(
                    "Outside the training's range",
                    "Share of features outside the training range, at the 95th of 100 predictions.",
                    "percentunit",
                    (
                        (
                            f"histogram_quantile(0.95, sum by (strategy, le) (rate(tidegate_out_of_distribution_bucket{{{STRATEGY}}}[1h])))",
                            BY_STRATEGY,
                        ),
                    ),
                    worse_above(0.1, 0.3),
                ),
                Panel(
                    "Importance moved",
                    "Share of the importance that moved to other features since the model before.",
                    "percentunit",
                    ((f"tidegate_importance_moved{{{STRATEGY}}}", BY_STRATEGY),),
                    worse_above(0.5),
                ),
                Panel(
                    "Rules",
                    "1 fired, 0 quiet, -1 not enough evidence.",
                    "none",
                    ((f"tidegate_rule_fired{{{STRATEGY}}}", "{{strategy}} {{rule}} ({{action}})"),),
                    ((None, "blue"), (0, "green"), (1, "red")),
                    width=16,
                ),
            ),
        ),
    ),
)
