"""Bots that follow each other, post, and check what everybody is shown of it."""
