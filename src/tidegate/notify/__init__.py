"""Tells people by webhook and mail, with proof of delivery in the event ledger; what could not be delivered is tried again."""
