"""The dashboard of the serving processes."""
# ruff: noqa: INP001  build.py is run as a script, from its own folder

from panels import BY_INSTANCE, INSTANCE, Dashboard, Panel, worse_above, worse_below

SERVICE = Dashboard(
    "tidegate-service",
    "tidegate: service",
    "How the serving processes answer, and what they take.",
    ("instance", "tidegate_ready"),
    (
        (
            "Now",
            (
                Panel(
                    "Ready",
                    "1 while the process takes requests. 0 means that bots there use their fallback.",
                    "bool_yes_no",
                    ((f"tidegate_ready{{{INSTANCE}}}", BY_INSTANCE),),
                    worse_below(1),
                    "stat",
                    6,
                ),
                Panel(
                    "Availability, 30 days",
                    "Share of predictions that were given, of those asked for. The goal is 99.9 %.",
                    "percentunit",
                    (("service:tidegate_availability:ratio30d", "{{job}}"),),
                    worse_below(0.999),
                    "stat",
                    6,
                ),
                Panel(
                    "Uptime, 1 day",
                    "Share of scrapes that the process answered. The goal is 99.9 %.",
                    "percentunit",
                    ((f"instance:up:ratio1d{{{INSTANCE}}}", BY_INSTANCE),),
                    worse_below(0.999),
                    "stat",
                    6,
                ),
                Panel(
                    "Version served",
                    "Version in production on each process; 0: none.",
                    "none",
                    ((f'tidegate_model_version{{{INSTANCE},role="production"}}', "{{strategy}} {{instance}}"),),
                    worse_below(1),
                    "stat",
                    6,
                ),
            ),
        ),
        (
            "Answers",
            (
                Panel(
                    "Latency of predictions",
                    "From a request's last byte to its answer's first. p95 above 20 ms for five minutes is an alert, and the rollback rule's bound.",
                    "s",
                    (
                        (f"instance:tidegate_predict_seconds:p50_5m{{{INSTANCE}}}", "p50 {{instance}}"),
                        (f"instance:tidegate_predict_seconds:p95_5m{{{INSTANCE}}}", "p95 {{instance}}"),
                        (f"instance:tidegate_predict_seconds:p99_5m{{{INSTANCE}}}", "p99 {{instance}}"),
                        (f"instance:tidegate_predict_seconds:mean5m{{{INSTANCE}}}", "mean {{instance}}"),
                    ),
                    worse_above(0.010, 0.020),
                ),
                Panel(
                    "Predictions asked",
                    "Requests for predictions.",
                    "reqps",
                    ((f"instance:tidegate_predict_requests:rate5m{{{INSTANCE}}}", BY_INSTANCE),),
                ),
                Panel(
                    "Share that failed",
                    "Predictions that the service could not give (status 500 and above). Above 5 % is an alert, 1 % is the daily goal.",
                    "percentunit",
                    ((f"instance:tidegate_predict_errors:ratio5m{{{INSTANCE}}}", BY_INSTANCE),),
                    worse_above(0.01, 0.05),
                ),
                Panel(
                    "Requests by route and status",
                    "All requests.",
                    "reqps",
                    (
                        (
                            f"sum by (route, status) (rate(tidegate_requests_total{{{INSTANCE}}}[5m]))",
                            "{{route}} {{status}}",
                        ),
                    ),
                ),
                Panel(
                    "Refusals and errors by kind",
                    "What was wrong with requests, or with the service.",
                    "reqps",
                    ((f"sum by (kind) (rate(tidegate_problems_total{{{INSTANCE}}}[5m]))", "{{kind}}"),),
                ),
                Panel(
                    "Burn of the budget",
                    "How many times faster than 99.9 % allows predictions fail. An alert needs a long and a short window above the line.",
                    "none",
                    (
                        ("service:tidegate_budget_burn:5m", "5 min"),
                        ("service:tidegate_budget_burn:30m", "30 min"),
                        ("service:tidegate_budget_burn:1h", "1 h"),
                        ("service:tidegate_budget_burn:2h", "2 h"),
                        ("service:tidegate_budget_burn:6h", "6 h"),
                        ("service:tidegate_budget_burn:1d", "1 d"),
                        ("service:tidegate_budget_burn:3d", "3 d"),
                    ),
                    worse_above(1, 14.4),
                ),
                Panel(
                    "Predictions",
                    "Answers of models, the challenger's beside production's.",
                    "ops",
                    (
                        (
                            f"sum by (strategy, role, version) (rate(tidegate_predictions_total{{{INSTANCE}}}[5m]))",
                            "{{strategy}} {{role}} v{{version}}",
                        ),
                    ),
                ),
                Panel(
                    "Abstentions by reason",
                    "Answers without a position: old data, an expired model, a halt, a window unlike the training's.",
                    "ops",
                    (
                        (
                            f"sum by (strategy, reason) (rate(tidegate_abstentions_total{{{INSTANCE}}}[5m]))",
                            "{{strategy}} {{reason}}",
                        ),
                    ),
                    worse_above(0.1),
                ),
                Panel(
                    "Age of the data",
                    "Age of the newest bar at its last prediction.",
                    "s",
                    (
                        (
                            f"max by (strategy, symbol) (tidegate_data_age_seconds{{{INSTANCE}}})",
                            "{{strategy}} {{symbol}}",
                        ),
                    ),
                    worse_above(86_400),
                ),
            ),
        ),
        (
            "Clients",
            (
                Panel(
                    "Requests over the limit",
                    "Refused with 429, by API key.",
                    "reqps",
                    ((f"sum by (key) (rate(tidegate_rate_limited_total{{{INSTANCE}}}[5m]))", "{{key}}"),),
                    worse_above(0.01),
                ),
                Panel(
                    "Breakers of bots",
                    "0 closed, 1 half open, 2 open: the bot does without the service.",
                    "none",
                    ((f"max by (bot, strategy) (tidegate_bot_breaker{{{INSTANCE}}})", "{{bot}} {{strategy}}"),),
                    worse_above(1, 2),
                    width=4,
                ),
                Panel(
                    "Silence of bots",
                    "Time since a bot's last heartbeat. Ten minutes are an alert.",
                    "s",
                    (
                        (
                            f"time() - max by (bot, strategy) (tidegate_bot_seen_timestamp_seconds{{{INSTANCE}}})",
                            "{{bot}} {{strategy}}",
                        ),
                    ),
                    worse_above(120, 600),
                    width=4,
                ),
                Panel(
                    "Decisions of bots by source",
                    "What bots decided on since their start: the model, or a fallback.",
                    "none",
                    (
                        (
                            f"max by (bot, strategy, source) (tidegate_bot_decisions{{{INSTANCE}}})",
                            "{{bot}} {{strategy}} {{source}}",
                        ),
                    ),
                ),
            ),
        ),
        (
            "Process",
            (
                Panel(
                    "Processor",
                    "Share of one processor. A process has one event loop: above 90 % it is the bottleneck.",
                    "percentunit",
                    ((f'rate(process_cpu_seconds_total{{job="tidegate-serving",{INSTANCE}}}[5m])', BY_INSTANCE),),
                    worse_above(0.7, 0.9),
                ),
                Panel(
                    "Memory",
                    "Resident memory.",
                    "bytes",
                    ((f'process_resident_memory_bytes{{job="tidegate-serving",{INSTANCE}}}', BY_INSTANCE),),
                    worse_above(1_000_000_000),
                ),
                Panel(
                    "Open files",
                    "Share of what the process may open. 80 % is an alert.",
                    "percentunit",
                    (
                        (
                            f'process_open_fds{{job="tidegate-serving",{INSTANCE}}} / process_max_fds{{job="tidegate-serving",{INSTANCE}}}',
                            BY_INSTANCE,
                        ),
                    ),
                    worse_above(0.5, 0.8),
                ),
                Panel(
                    "Prediction log",
                    "Share of its allowed size that the log takes, and share of its disk that is in use.",
                    "percentunit",
                    (
                        (
                            f"tidegate_log_bytes{{{INSTANCE}}} / tidegate_log_max_bytes{{{INSTANCE}}}",
                            "log {{instance}}",
                        ),
                        (
                            f"1 - tidegate_log_disk_free_bytes{{{INSTANCE}}} / tidegate_log_disk_bytes{{{INSTANCE}}}",
                            "disk {{instance}}",
                        ),
                    ),
                    worse_above(0.8, 0.9),
                ),
                Panel(
                    "Rows made durable",
                    "Rows of the prediction log.",
                    "ops",
                    ((f"rate(tidegate_log_rows_total{{{INSTANCE}}}[5m])", BY_INSTANCE),),
                ),
                Panel(
                    "Log failures",
                    "Writes that failed, and answers that left without a durable row, in five minutes. Each is an alert.",
                    "none",
                    (
                        (f"increase(tidegate_log_failures_total{{{INSTANCE}}}[5m])", "failed {{instance}}"),
                        (f"increase(tidegate_unlogged_answers_total{{{INSTANCE}}}[5m])", "unlogged {{instance}}"),
                    ),
                    worse_above(1),
                ),
            ),
        ),
    ),
)
