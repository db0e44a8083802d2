"""Hostile texts for every input of the server, and how long each of them holds it up.

:mod:`scripts.hostilelib.inputs` is the one list of inputs and texts; the tests use it as well.
"""
