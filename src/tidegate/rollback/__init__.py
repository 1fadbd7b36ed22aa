"""When to go back, and going back: rules, one decision at a time, the act, its verification, the incident.

In: figures of monitoring, minutes of service from the watch, the ledgers. Out: acts of the promotion ledger, events. Rules and the decision are pure.
"""
