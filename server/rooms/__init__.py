"""Rooms: their tasks, the way in, the way out, their timers, and where they are found."""
