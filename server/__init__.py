"""Parley's server: one process, one port, one Trio run."""
