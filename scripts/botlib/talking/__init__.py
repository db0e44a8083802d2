"""Bots that talk in chat rooms by ``parley.v1``, through cuts and crashes."""
