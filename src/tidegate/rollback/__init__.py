"""When to go back, and going back: rules, one decision at a time, the act, its verification, the incident.

In: figures of monitoring, minutes of service from the watch, the ledgers. Out: acts of the promotion ledger, events. Rules and the decision are pure.

- `finding`: what rules say. `performance`, `service`, `began`: the rules, all named in `rules`.
- `decision`: findings and a situation in, one decision out. `automatic`: the situation, as the ledgers tell it.
- `procedure`, `act`: the procedure of a rollback, for rules and for people. `answers`, `verification`: whether serving processes follow.
- `incidents`, `maintenance`: what the event ledger holds of both. `words`, `page`: all of this as JSON and for people.
"""
