"""Parley's protocol: identifiers, messages, rules and wire formats, without any I/O.

Nothing in this package awaits, reads a clock, draws a random number, logs or imports
from ``server``; whatever it needs of these is passed in.
"""
