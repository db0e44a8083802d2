"""Bots that talk in chat rooms and check that all of them are told the same."""
