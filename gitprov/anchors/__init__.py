"""The networks that witness heads of the log, and the outbox of what is under way."""
