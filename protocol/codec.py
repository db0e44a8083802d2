"""The only cattrs converters: JSON text to attrs classes and back, strictly.

Nothing is coerced (``5`` is no string), unknown fields are refused, and every failure becomes
one :class:`~protocol.errors.Refused` that names the field.
"""

from collections.abc import Callable
from enum import StrEnum
from types import NoneType, UnionType
from typing import Annotated, Any, Final, NoReturn, TypeVar, Union, get_args, get_origin

import attrs
import orjson
from cattrs.cols import list_structure_factory
from cattrs.errors import (
    ClassValidationError,
    ForbiddenExtraKeysError,
    IterableValidationError,
)
from cattrs.preconf.orjson import OrjsonConverter, make_converter

from protocol.deck import Deck
from protocol.errors import ErrorCode, Refused
from protocol.ids import MemberName, Passcode, RemarkText, RoomId, TicketId, is_room_id
from protocol.limits import (
    NAME_LENGTH,
    PASSCODE_LENGTH,
    REMARK_LENGTH,
    SHORTEST_PASSCODE,
    TICKET_LENGTH,
)
from protocol.names import NOT_ADMIN, looks_like_admin
from protocol.text import clean_line as clean_line
from protocol.text import clean_prose, normalise

T = TypeVar("T")


def clean_name(text: str) -> str:
    """Judge a member's name; see :func:`protocol.text.clean_line`."""
    return clean_line(text, NAME_LENGTH)


def clean_passcode(text: str) -> Passcode:
    """Judge a room's passcode as a line, and bring it into the one form that is compared.

    Raises:
        ValueError: as :func:`protocol.text.clean_line`, or if it is too short.
    """
    line = clean_line(text, PASSCODE_LENGTH)
    if len(line) < SHORTEST_PASSCODE:
        raise ValueError(f"must be at least {SHORTEST_PASSCODE} characters long")
    return Passcode(normalise(line))


def _string(value: object, _: object = None) -> str:
    if type(value) is not str:
        raise ValueError("must be a string")
    return value


def _text(value: object, wanted: type[str]) -> str:
    """Take a string, or the member of an enumeration, which cattrs takes for a kind of string."""
    if type(value) is wanted:  # also a member of an enumeration, in what was never written as JSON
        return value
    if type(value) is not str:
        raise ValueError("must be a string")
    if not issubclass(wanted, StrEnum):
        return value
    try:
        return wanted(value)
    except ValueError:
        raise ValueError(f"must be one of {', '.join(wanted)}") from None


def _exactly(kind: type, article: str) -> Any:
    def structure(value: object, _: object) -> object:
        if type(value) is not kind:
            raise ValueError(f"must be {article}")
        return value

    return structure


def _is_list(wanted: object) -> bool:
    return get_origin(wanted) is list


def _list(wanted: Any, converter: Any) -> Callable[[object, Any], Any]:
    """Take lists alone, where cattrs takes whatever can be gone through, such as a text."""
    inner = list_structure_factory(wanted, converter)

    def structure(value: object, _: object) -> object:
        if type(value) is not list:
            raise ValueError("must be a list")
        return inner(value, wanted)

    return structure


def _is_choice(wanted: object) -> bool:
    """Tell whether a type is a choice between forms that JSON tells apart."""
    if get_origin(wanted) not in {Union, UnionType}:
        return False
    parts = [_form(part) for part in get_args(wanted) if part is not NoneType]
    others = [part for part in parts if part not in _FORMS]
    return len(parts) > 1 and (not others or (len(others) == 1 and attrs.has(others[0])))


def _form(part: Any) -> Any:
    """Give the class that a type is about, without what is said of it and of what is in it."""
    plain = get_args(part)[0] if get_origin(part) is Annotated else part
    return get_origin(plain) or plain


def _choice(wanted: Any, converter: Any) -> Callable[[object, Any], Any]:
    """Take what has the form of one of the parts, as that one."""
    parts = {}
    for part in get_args(wanted):
        form = _form(part)
        parts[form if form in _FORMS else dict] = part
    complaint = "must be " + " or ".join(dict.fromkeys(_FORMS[form] for form in parts))
    optional = parts.pop(NoneType, None) is not None
    hooks = {form: converter.get_structure_hook(part) for form, part in parts.items()}

    def structure(value: object, _: object) -> object:
        form = type(value)
        if form in hooks:
            return hooks[form](value, parts[form])
        if value is None and optional:
            return None
        raise ValueError(complaint)

    return structure


_FORMS: Final[dict[Any, str]] = {
    str: "a string",
    int: "a number",
    float: "a number",
    list: "a list",
    dict: "an object",
    NoneType: "null",
}


def _ticket_id(value: object, _: object) -> TicketId:
    return TicketId(clean_line(_string(value), TICKET_LENGTH))


def _passcode(value: object, _: object) -> Passcode:
    return clean_passcode(_string(value))


def _remark_text(value: object, _: object) -> RemarkText:
    return RemarkText(clean_prose(_string(value), REMARK_LENGTH))


def _room_id(value: object, _: object) -> RoomId:
    text = _string(value)
    if not is_room_id(text):
        raise ValueError("must be a room id: 6 ASCII letters or digits")
    return RoomId(text)


def _member_name(value: object, _: object) -> MemberName:
    name = clean_name(_string(value))
    if looks_like_admin(name):
        raise ValueError(NOT_ADMIN)
    return MemberName(name)


def new_converter() -> OrjsonConverter:
    """Make a converter like :data:`CONVERTER`, for whoever has hooks of its own to register."""
    converter = make_converter(forbid_extra_keys=True, detailed_validation=True)
    converter.register_structure_hook(str, _text)
    for kind, article in ((int, "an integer"), (bool, "true or false"), (float, "a number")):
        converter.register_structure_hook(kind, _exactly(kind, article))
    converter.register_structure_hook_factory(_is_list, _list)
    converter.register_structure_hook_factory(_is_choice, _choice)
    converter.register_structure_hook_func(lambda wanted: wanted is TicketId, _ticket_id)
    converter.register_structure_hook_func(lambda wanted: wanted is RoomId, _room_id)
    converter.register_structure_hook_func(lambda wanted: wanted is MemberName, _member_name)
    converter.register_structure_hook_func(lambda wanted: wanted is Passcode, _passcode)
    converter.register_structure_hook_func(lambda wanted: wanted is RemarkText, _remark_text)
    converter.register_structure_hook(Deck, lambda plain, _: Deck.of_plain(plain))
    converter.register_unstructure_hook(Deck, Deck.plain)
    return converter


CONVERTER: Final = new_converter()
"""Structures what comes from outside; registering more on it is for this file alone."""


def _make_lenient() -> OrjsonConverter:
    converter = CONVERTER.copy(forbid_extra_keys=False)
    # Chat rooms have other ids, and a client has its room's from whoever made the room.
    converter.register_structure_hook_func(
        lambda wanted: wanted is RoomId, lambda value, _: RoomId(_string(value))
    )
    return converter


LENIENT: Final = _make_lenient()
"""The same, for clients: they ignore what a newer server says beside what they know."""


def loads(text: str) -> Any:
    """Parse JSON.

    Raises:
        Refused: if ``text`` is no JSON, is nested too deeply or contains a lone surrogate.
    """
    try:
        return orjson.loads(text)
    except ValueError:
        raise Refused(ErrorCode.MALFORMED, "the message is not valid JSON") from None


def dumps(value: object) -> bytes:
    """Write JSON of plain dicts, lists, strings and numbers, compact, in UTF-8."""
    return orjson.dumps(value)


def structure(value: object, wanted: type[T], path: str) -> T:
    """Make a ``wanted`` of plain data.

    Args:
        value: what :func:`loads` gave.
        wanted: an attrs class.
        path: where in the message ``value`` stood, such as ``data``; empty for the whole of it.

    Raises:
        Refused: naming the first offending field below ``path``.
    """
    try:
        return CONVERTER.structure(value, wanted)
    except Exception as error:  # noqa: BLE001 - cattrs raises many kinds on data of a wrong shape
        _refuse(error, path)


def _refuse(error: BaseException, path: str) -> NoReturn:
    if isinstance(error, ClassValidationError):
        noted, others = error.group_exceptions()
        if noted:
            inner, note = noted[0]
            _refuse(inner, _below(path, note.name))
        error = others[0]
    if isinstance(error, IterableValidationError):
        inner, place = error.group_exceptions()[0][0]
        _refuse(inner, f"{path}[{place.index}]")
    if isinstance(error, ForbiddenExtraKeysError):
        name = min(map(str, error.extra_fields))[:TICKET_LENGTH]
        _complain(_below(path, name), "is not known")
    if isinstance(error, KeyError):
        _complain(path, "is missing")
    if isinstance(error, ValueError):
        _complain(path, str(error))
    _complain(path, "must be an object")


def _below(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _complain(field: str, complaint: str) -> NoReturn:
    raise Refused(ErrorCode.MALFORMED, f"{field} {complaint}", field) from None
