"""The rules of coming together: who must be named to a member, how often and when; no I/O."""

from collections.abc import Iterator

from scripts.botlib.table import Table


class Lobby:
    """What one member has been told about who is in the room."""

    def __init__(self, table: Table, name: str) -> None:
        """Begin with nobody having been named to ``name``."""
        self._table = table
        self._name = name
        self._lines: dict[str, str] = {}  # who was named, and the line without the name
        self._there_before: frozenset[str] = frozenset()

    def announce(self) -> None:
        """Note that the member is about to send JOIN_ROOM."""
        self._table.announced.add(self._name)
        self._there_before = frozenset(self._table.settled)

    def meet(self, who: str, line: str) -> Iterator[tuple[str, str]]:
        """Judge a line that names ``who``; yields rule and detail."""
        if who in self._lines:
            yield "named-twice", f"{who} was announced before: {line!r}"
        self._lines[who] = line.replace(who, "")
        if who not in self._table.announced:
            yield "not-announced", f"{who} has not sent JOIN_ROOM yet: {line!r}"
        if who == self._name:
            missing = self._there_before - self._lines.keys()
            if missing:
                yield "not-named", f"{', '.join(sorted(missing))} had been there already"
            self._table.settled.add(who)

    def full(self) -> Iterator[tuple[str, str]]:
        """Judge that every seat is said to be taken and announced; yields rule and detail."""
        missing = sorted(set(self._table.names) - self._lines.keys())
        if missing:
            yield "full-too-early", f"nothing was heard of {', '.join(missing)} yet"
        if self._name == self._table.admin:
            return
        # Marked, in whatever words, is a line that differs from the others by more than the name.
        # In a room of two, presence and arrival may be worded differently anyway: no telling.
        line = self._lines.get(self._table.admin)
        others = (text for name, text in self._lines.items() if name != self._table.admin)
        if line is not None and line in others:
            yield "admin-unmarked", f"nothing marks the admin: {line!r}"
