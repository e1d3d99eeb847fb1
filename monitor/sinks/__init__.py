"""Where records go: an outbox that keeps them, and what takes them from there."""

COMPACTED_TOPICS = frozenset({"coverage"})
"""Topics that hold the latest state of each key; the others keep every record for a while."""
