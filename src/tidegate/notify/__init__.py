"""Tells people by webhook and mail, with proof of delivery in the event ledger; what could not be delivered is tried again.

In: a severity, a title, a text. Out: a notification in the event ledger first, then deliveries, then their proofs or failures in the ledger too.
"""
