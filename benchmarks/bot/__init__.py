"""The bot's side, measured."""
