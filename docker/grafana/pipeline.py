"""The dashboard of flows, watch and alerts."""
# ruff: noqa: INP001  build.py is run as a script, from its own folder

from panels import BY_INSTANCE, BY_STRATEGY, PLAIN, STRATEGY, Dashboard, Panel, worse_above, worse_below

PIPELINE = Dashboard(
    "tidegate-pipeline",
    "tidegate: pipeline",
    "Whether retrains, monitoring, the watch and notifications do their work.",
    ("strategy", "tidegate_production_version"),
    (
        (
            "Alerts and records",
            (
                Panel(
                    "Alerts that fire",
                    "Watchdog always does; if it is missing, alerts are not evaluated.",
                    "none",
                    (
                        (
                            'count by (alertname, severity, strategy, instance) (ALERTS{alertstate="firing"})',
                            "{{alertname}}",
                        ),
                    ),
                    PLAIN,
                    "table",
                    12,
                ),
                Panel(
                    "Open incidents",
                    "Incidents that no person has closed. While one is open the next automatic decision is a halt.",
                    "none",
                    ((f"max by (strategy) (tidegate_open_incidents{{{STRATEGY}}})", BY_STRATEGY),),
                    worse_above(1),
                    "stat",
                    4,
                ),
                Panel(
                    "Maintenance",
                    "1 during a maintenance window: automatic promotions are frozen.",
                    "bool_yes_no",
                    ((f"max by (strategy) (tidegate_maintenance{{{STRATEGY}}})", BY_STRATEGY),),
                    ((None, "green"), (1, "orange")),
                    "stat",
                    4,
                ),
                Panel(
                    "Undelivered notifications",
                    "Notifications of tidegate's own that reached nobody.",
                    "none",
                    (("max(tidegate_undelivered_notifications)", "undelivered"),),
                    worse_above(1),
                    "stat",
                    4,
                ),
            ),
        ),
        (
            "Flows",
            (
                Panel(
                    "Since the last retrain",
                    "35 days are an alert.",
                    "s",
                    (
                        (
                            f"time() - max by (strategy) (tidegate_retrain_finished_timestamp_seconds{{{STRATEGY}}})",
                            BY_STRATEGY,
                        ),
                    ),
                    worse_above(32 * 86_400, 35 * 86_400),
                ),
                Panel(
                    "Since the last monitoring run",
                    "By period. 30 hours without a daily one are an alert.",
                    "s",
                    (
                        (
                            f"time() - max by (strategy, period) (tidegate_monitor_last_run_timestamp_seconds{{{STRATEGY}}})",
                            "{{strategy}} {{period}}",
                        ),
                    ),
                    worse_above(25 * 3600, 30 * 3600),
                ),
                Panel(
                    "Age of the bars",
                    "Since the close of the newest bar that monitoring knew. Four days are an alert: a weekend is less.",
                    "s",
                    (
                        (
                            f"time() - max by (strategy) (tidegate_bars_newest_timestamp_seconds{{{STRATEGY}}})",
                            BY_STRATEGY,
                        ),
                    ),
                    worse_above(3 * 86_400, 4 * 86_400),
                ),
                Panel(
                    "Acts of the ledger",
                    "Promotions, rollbacks, halts and other committed acts so far.",
                    "none",
                    (
                        (
                            f"max by (strategy, action) (tidegate_ledger_acts{{{STRATEGY}}})",
                            "{{strategy}} {{action}}",
                        ),
                    ),
                ),
                Panel(
                    "Changes of model",
                    "Models that serving processes took in or refused, in an hour.",
                    "none",
                    (
                        (
                            f"sum by (strategy, result) (increase(tidegate_reloads_total{{{STRATEGY}}}[1h]))",
                            "{{strategy}} {{result}}",
                        ),
                    ),
                ),
                Panel(
                    "Since the registry was reached",
                    "By serving process. Five minutes are an alert.",
                    "s",
                    (("time() - tidegate_registry_reached_timestamp_seconds", BY_INSTANCE),),
                    worse_above(60, 300),
                ),
            ),
        ),
        (
            "Watch",
            (
                Panel(
                    "Instances that the watch reaches",
                    "1 while the instance answers.",
                    "bool_yes_no",
                    (("tidegate_instance_up", BY_INSTANCE),),
                    worse_below(1),
                ),
                Panel(
                    "Looks by result",
                    "What the watch's looks at serving processes came to.",
                    "ops",
                    (("sum by (result) (rate(tidegate_watch_looks_total[5m]))", "{{result}}"),),
                ),
                Panel(
                    "Errors of the watch",
                    "What failed inside it, by kind, in 15 minutes.",
                    "none",
                    (("sum by (kind) (increase(tidegate_watch_errors_total[15m]))", "{{kind}}"),),
                    worse_above(1),
                ),
                Panel(
                    "Since the last look",
                    "Two minutes are an alert.",
                    "s",
                    (("time() - tidegate_watch_last_look_timestamp_seconds", BY_INSTANCE),),
                    worse_above(30, 120),
                ),
                Panel(
                    "Versions that the watch sees",
                    "In production on each instance, and in the ledger.",
                    "none",
                    (
                        (f"tidegate_instance_version{{{STRATEGY}}}", "{{strategy}} {{instance}}"),
                        (f"tidegate_production_version{{{STRATEGY}}}", "{{strategy}} ledger"),
                    ),
                ),
                Panel(
                    "Processor and memory of the watch",
                    "Share of one processor, and resident memory in GB.",
                    "none",
                    (
                        ('rate(process_cpu_seconds_total{job="tidegate-watch"}[5m])', "processor"),
                        ('process_resident_memory_bytes{job="tidegate-watch"} / 1e9', "memory, GB"),
                    ),
                    worse_above(0.5, 1.0),
                ),
            ),
        ),
    ),
)
