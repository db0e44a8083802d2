"""Bodies of requests: JSON to attrs classes, strictly; every failure names its field."""

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, Final, TypeVar

import attrs
from litestar.connection import ASGIConnection
from litestar.dto import AbstractDTO, DTOFieldDefinition
from litestar.openapi.spec import Reference, Schema
from litestar.plugins.attrs import AttrsSchemaPlugin
from litestar.status_codes import (
    HTTP_400_BAD_REQUEST,
    HTTP_415_UNSUPPORTED_MEDIA_TYPE,
    HTTP_422_UNPROCESSABLE_ENTITY,
)
from litestar.typing import FieldDefinition

from protocol.codec import loads, structure
from protocol.errors import Refused
from server.http.errors import RequestFailed

if TYPE_CHECKING:
    from litestar._openapi.schema_generation import SchemaCreator

JSON: Final = "application/json"

_ROOT: Final = "body"
_CLEAN: Final = "clean"

T = TypeVar("T")


class Strict:
    """Base of all bodies: nothing is coerced, and unknown fields are refused."""


def cleaned(clean: Callable[[str], str]) -> dict[str, Callable[[str], str]]:
    """Make the metadata of a field whose text ``clean`` puts in order, or raises ``ValueError``."""
    return {_CLEAN: clean}


def decode(raw: bytes, wanted: type[T]) -> T:
    """Decode a body.

    Args:
        raw: the body as it came.
        wanted: the attrs class to make of it.

    Raises:
        RequestFailed: 400 if the body is not JSON, 422 if it is other JSON.
    """
    try:
        value = loads(raw.decode())
    except (UnicodeDecodeError, Refused):
        raise RequestFailed(HTTP_400_BAD_REQUEST, "the body is not valid JSON") from None
    try:
        made: Any = structure(value, wanted, _ROOT)
    except Refused as refused:
        raise _unfit(refused) from None
    texts: dict[str, str] = {}
    for field in attrs.fields(type(made)):
        clean, text = field.metadata.get(_CLEAN), getattr(made, field.name)
        if clean is None or text is None:
            continue
        try:
            texts[field.name] = clean(text)
        except ValueError as error:
            raise RequestFailed(
                HTTP_422_UNPROCESSABLE_ENTITY, str(error), field=field.name
            ) from None
    evolved: T = attrs.evolve(made, **texts)
    return evolved


def _unfit(refused: Refused) -> RequestFailed:
    field = (refused.problem.field or "").removeprefix(_ROOT).lstrip(".")
    message = refused.problem.message
    if not field:
        return RequestFailed(HTTP_422_UNPROCESSABLE_ENTITY, f"the {message}")
    return RequestFailed(
        HTTP_422_UNPROCESSABLE_ENTITY, message.removeprefix(f"{_ROOT}.{field} "), field=field
    )


class Json(AbstractDTO[T]):
    """Between Litestar and :func:`decode`, as Litestar itself ignores fields it does not know."""

    def decode_bytes(self, value: bytes) -> Any:
        """Decode a body.

        Raises:
            RequestFailed: see :func:`decode`; 415 if it is not declared as JSON, which a form of
                another site cannot do.
        """
        if _media_type(self.asgi_connection) != JSON:
            raise RequestFailed(HTTP_415_UNSUPPORTED_MEDIA_TYPE, f"send the body as {JSON}")
        return decode(value, self.model_type)

    @classmethod
    def create_for_field_definition(cls, *_: Any, **__: Any) -> None:
        """Prepare nothing: there is no model in between."""

    @classmethod
    def create_openapi_schema(
        cls, field_definition: FieldDefinition, handler_id: str, schema_creator: "SchemaCreator"
    ) -> Reference | Schema:
        """Describe the class as it is."""
        del handler_id
        return schema_creator.for_field_definition(field_definition)

    @classmethod
    def generate_field_definitions(
        cls, model_type: type[Any]
    ) -> Generator[DTOFieldDefinition, None, None]:  # pragma: no cover - abstract, never asked
        """Give none: they are for models in between."""
        del model_type
        yield from ()

    @classmethod
    def detect_nested_field(
        cls, field_definition: FieldDefinition
    ) -> bool:  # pragma: no cover - as above
        """Tell that no model is inside of another."""
        del field_definition
        return False


class StrictSchema(AttrsSchemaPlugin):
    """Says in the schema that fields not known are refused."""

    def to_openapi_schema(
        self, field_definition: FieldDefinition, schema_creator: "SchemaCreator"
    ) -> Schema:
        """Describe any attrs class, and close those of bodies."""
        schema = super().to_openapi_schema(field_definition, schema_creator)
        if field_definition.is_subclass_of(Strict):
            schema.additional_properties = False
        return schema


def _media_type(connection: ASGIConnection[Any, Any, Any, Any]) -> str:
    declared = connection.headers.get("content-type", "")
    return declared.partition(";")[0].strip().lower()
