"""Outgoing webhooks: what is told of rooms to receivers elsewhere, and how it gets there."""
