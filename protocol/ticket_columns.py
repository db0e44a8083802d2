"""Which column of a file is which field of a ticket: known headers, a mapping, or a guess."""

import re
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Final

from protocol.csv_file import Record
from protocol.errors import ErrorCode, Refused
from protocol.limits import TICKET_LENGTH
from protocol.ticket import CLEANERS
from protocol.value import value

ACCEPTANCE: Final = "acceptance"
"""A field of files only: criteria of acceptance, which go below the description."""

FIELDS: Final = (*CLEANERS, ACCEPTANCE)

EXPORT_COLUMNS: Final = (
    "ticket", "title", "key", "link", "description", "type", "priority", "status", "estimate",
    "round", "deck", "seconds", "round_estimate", "name", "vote", "comment",
)  # fmt: skip
"""Of our own files, which have the figures of each round behind these."""

EXPORT_TICKET: Final = EXPORT_COLUMNS.index("ticket")


class Format(StrEnum):
    """As what a file was recognised."""

    PARLEY = "parley"
    """Our own export; a ticket has a row for each vote, of which the first counts."""
    JIRA = "jira"
    AZURE = "azure"
    """Of Azure Boards; in a tree the deepest title counts."""
    THUNDERDOME = "thunderdome"
    """Type, title, reference, link, description, criteria of acceptance; without a header."""
    NAMED = "named"
    """Another header, with a column whose name means a title."""
    MAPPED = "mapped"
    """As the caller said."""
    TITLES = "titles"
    """One column without a header, read like a list that is pasted."""
    LIST = "list"
    """A list that was pasted."""
    UNKNOWN = "unknown"
    """Several columns of which none is known to be the title: the caller has to say."""


@value(kw_only=True)
class Layout:
    """Where the fields of tickets are in the records of a file."""

    format: Format
    header: bool = True
    """The first record is names."""
    places: Mapping[str, tuple[int, ...]]
    """The columns of each field, from 0 on. Of several the last that is not empty counts."""


_TITLE_IN_TREE: Final = re.compile(r"title \d{1,2}")

# Also in German, French, Spanish and Polish: exports speak the language of who exports.
_JIRA: Final = {
    "title": ("summary", "zusammenfassung", "résumé", "resumen", "podsumowanie"),
    "key": (
        *("issue key", "work item key", "key", "vorgangsschlüssel", "schlüssel", "clé de ticket"),
        *("clave de incidencia", "klucz zgłoszenia"),
    ),
    "type": (
        *("issue type", "work item type", "work type", "vorgangstyp", "type de ticket"),
        *("tipo de incidencia", "typ zgłoszenia"),
    ),
    "priority": ("priority", "priorität", "priorité", "prioridad", "priorytet"),
    "description": ("description", "beschreibung", "descripción", "opis"),
    ACCEPTANCE: ("custom field (acceptance criteria)", "acceptance criteria"),
}
_JIRA_SIGNS: Final = {*_JIRA["key"], *_JIRA["type"], "issue id", "vorgangs-id"}

_AZURE: Final = {
    "title": ("title",),
    "key": ("id",),
    "type": ("work item type",),
    "priority": ("priority",),
    "description": ("description",),
    ACCEPTANCE: ("acceptance criteria",),
}

# Never a word that is also a type of tickets, such as "story": files without a header begin so.
_NAMED: Final = {
    "title": (
        *("title", "summary", "subject", "name", "titel", "betreff", "zusammenfassung"),
        *("story name", "story title", "ticket name", "ticket title", "task name", "issue title"),
    ),
    "key": (
        *("key", "id", "reference", "reference id", "referenceid", "issue key", "ticket id"),
        *("issue id", "schlüssel", "vorgangsschlüssel"),
    ),
    "link": ("link", "url"),
    "type": ("type", "issue type", "work item type", "typ", "vorgangstyp"),
    "priority": ("priority", "priorität"),
    "description": ("description", "details", "beschreibung"),
    ACCEPTANCE: ("acceptance criteria", "acceptancecriteria", "akzeptanzkriterien"),
}

_THUNDERDOME: Final = ("type", "title", "key", "link", "description", ACCEPTANCE)


def recognise(names: Sequence[str]) -> Layout | None:
    """Read a header, if it is one that is known."""
    plain = [_plain(name) for name in names]
    known = set(plain)
    if tuple(plain[: len(EXPORT_COLUMNS)]) == EXPORT_COLUMNS:
        own = {field: (plain.index(field),) for field in CLEANERS}
        return Layout(format=Format.PARLEY, places=own)
    tree = tuple(place for place, name in enumerate(plain) if _TITLE_IN_TREE.fullmatch(name))
    if "work item type" in known and (tree or "title" in known):
        places = _find(plain, _AZURE)
        return Layout(format=Format.AZURE, places={**places, "title": tree} if tree else places)
    if known & set(_JIRA["title"]) and known & _JIRA_SIGNS:
        return Layout(format=Format.JIRA, places=_find(plain, _JIRA))
    if known & set(_NAMED["title"]):
        return Layout(format=Format.NAMED, places=_find(plain, _NAMED))
    return None


def guess(records: Sequence[Record]) -> Layout:
    """Find what a file without a known header is by its first records, of which there is one."""
    if all(len(record.cells) == 1 for record in records):
        return Layout(format=Format.TITLES, header=False, places={"title": (0,)})
    # One line that is not may be refused alone; but the first would be a header.
    alike = [_is_thunderdome(record.cells) for record in records]
    if alike[0] and sum(alike) * 2 > len(alike):
        places = {field: (place,) for place, field in enumerate(_THUNDERDOME)}
        return Layout(format=Format.THUNDERDOME, header=False, places=places)
    return Layout(format=Format.UNKNOWN, header=False, places={})


def follow(mapping: Mapping[str, object], names: Sequence[str], *, header: bool) -> Layout:
    """Take a mapping from whoever brings the file.

    Args:
        mapping: for each field (see :data:`FIELDS`) the name of its column in the header, or the
            column's number, from 1 on.
        names: the first record.
        header: whether that is names.

    Raises:
        Refused: if a field is not known, its column is not there, or none is the title.
    """
    places: dict[str, tuple[int, ...]] = {}
    for field, column in mapping.items():
        path = f"mapping.{str(field)[:TICKET_LENGTH]}"
        if field not in FIELDS:
            raise _refusal(path, f"is not known; it must be one of {', '.join(FIELDS)}")
        places[field] = (_column(column, names, path, header=header),)
    if "title" not in places:
        raise _refusal("mapping.title", "is missing")
    return Layout(format=Format.MAPPED, header=header, places=places)


def pick(cells: Sequence[str], layout: Layout) -> dict[str, str]:
    """Take the fields of a ticket out of a record; a field of which there is nothing is missing."""
    fields = {}
    for field, places in layout.places.items():
        filled = [cells[place] for place in places if place < len(cells) and cells[place].strip()]
        if filled:
            fields[field] = filled[-1]
    acceptance = fields.pop(ACCEPTANCE, "")
    if acceptance:
        parts = (fields.get("description", ""), f"Acceptance criteria:\n{acceptance}")
        fields["description"] = "\n\n".join(filter(None, parts))
    return fields


def _plain(name: str) -> str:
    return " ".join(name.split()).casefold().rstrip(":")


def _find(plain: Sequence[str], names: Mapping[str, Iterable[str]]) -> dict[str, tuple[int, ...]]:
    """Find the column of each field: the first of the first name that there is."""
    found: dict[str, tuple[int, ...]] = {}
    for field, possible in names.items():
        for name in possible:
            if name in plain:
                found[field] = (plain.index(name),)
                break
    return found


def _is_thunderdome(cells: Sequence[str]) -> bool:
    if len(cells) not in {len(_THUNDERDOME) - 1, len(_THUNDERDOME)}:
        return False
    link = cells[_THUNDERDOME.index("link")].strip()
    return not link or link.startswith(("http://", "https://"))


def _column(column: object, names: Sequence[str], path: str, *, header: bool) -> int:
    if type(column) is int:
        if not 1 <= column <= len(names):
            raise _refusal(path, f"must be a column from 1 to {len(names)}")
        return column - 1
    if type(column) is not str:
        raise _refusal(path, "must be the name or the number of a column")
    plain = [_plain(name) for name in names] if header else []
    if _plain(column) not in plain:
        raise _refusal(path, "must be a column of the file; there is none of this name")
    return plain.index(_plain(column))


def _refusal(path: str, complaint: str) -> Refused:
    return Refused(ErrorCode.MALFORMED, f"{path} {complaint}", path)
