"""Bytes in and out: accepting, WebSocket framing, reading, sending, pinging."""
