"""From an upgrade request to a member of a room; the only package that knows edge and rooms."""
