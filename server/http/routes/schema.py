"""``/schema``: what describes the interfaces of this server, for tools and for browsers.

Plain HTTP as an OpenAPI document, in JSON, in YAML and as a page; ``parley.v1`` as an AsyncAPI
document and as the JSON Schema of its messages.
"""

from collections.abc import Callable
from string import Template
from typing import Annotated, Any, Final

import attrs
import orjson
import yaml
from litestar import Litestar, Request, Response, Router, get
from litestar.datastructures import State
from litestar.exceptions import NotFoundException
from litestar.params import PathParameter
from litestar.response.base import ASGIResponse
from litestar.status_codes import HTTP_404_NOT_FOUND
from litestar.types import Receive, Send

from protocol.asyncapi import asyncapi
from protocol.limits import KIB
from protocol.schema import json_schema
from server.http.description import complete
from server.http.errors import not_here
from server.http.vendored import STATIC, Asset, assets, manifest
from server.support import threads

JSON_TYPE: Final = "application/vnd.oai.openapi+json"
ASYNCAPI_TYPE: Final = "application/vnd.aai.asyncapi+json"
JSON_SCHEMA_TYPE: Final = "application/schema+json"
YAML_TYPE: Final = "application/yaml"
HTML_TYPE: Final = "text/html"

PAGE_HEADERS: Final = {
    # Styles are inline because the renderer's components style their own elements.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data:; font-src data:; connect-src 'self'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "Vary": "Accept",
    "X-Frame-Options": "DENY",
}

# libyaml, where PyYAML has it, is ten times as fast.
_DUMPER: Final = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_ASSETS: Final = "/schema/assets"
_CHUNK_BYTES: Final = 64 * KIB
_FOR_EVER: Final = "public, max-age=31536000, immutable"  # RFC 8246


@attrs.frozen
class Forms:
    """All documents, in all their forms."""

    json: bytes
    yaml: bytes
    html: bytes
    asyncapi: bytes
    json_schema: bytes
    files: dict[str, Asset]
    """What the page loads, by the names in its addresses."""


class SchemaPages:
    """Answers everything below ``/schema``.

    The documents are made at the first request, in a thread: it takes some 50 ms.
    """

    def __init__(self) -> None:
        """Have nothing made yet."""
        self._forms: Forms | None = None

    def router(self) -> Router:
        """Make the router, to which Litestar adds handlers that are never reached."""
        return Router(
            "/schema",
            route_handlers=[
                self._document("/openapi.yaml", YAML_TYPE, lambda forms: forms.yaml),
                self._document("/asyncapi.json", ASYNCAPI_TYPE, lambda forms: forms.asyncapi),
                self._document(
                    "/parley-v1.json", JSON_SCHEMA_TYPE, lambda forms: forms.json_schema
                ),
                self._asset(),
            ],
            before_request=self._before,
            after_request=_no_html,
            include_in_schema=False,
        )

    async def forms(self, app: Litestar) -> Forms:
        """Give the documents of an application."""
        if self._forms is None:
            self._forms = await threads.run(make_forms, app)
        return self._forms

    async def _before(self, request: Request[Any, Any, State]) -> Response[bytes] | None:
        """Answer for the handlers of Litestar, which would make the document between two rooms."""
        path = request.scope["path_template"]
        if path == "/schema/openapi.json":
            forms = await self.forms(request.app)
            return Response(forms.json, media_type=JSON_TYPE)
        if path != "/schema":
            return None
        forms = await self.forms(request.app)
        if request.accept.best_match([JSON_TYPE, "application/json", HTML_TYPE]) == HTML_TYPE:
            return Response(forms.html, media_type=HTML_TYPE, headers=PAGE_HEADERS)
        return Response(forms.json, media_type=JSON_TYPE, headers={"Vary": "Accept"})

    def _document(self, path: str, media_type: str, which: Callable[[Forms], bytes]) -> Any:
        @get(path)
        async def document(request: Request[Any, Any, State]) -> Response[bytes]:
            return Response(which(await self.forms(request.app)), media_type=media_type)

        return document

    def _asset(self) -> Any:
        @get("/assets/{name:str}")
        async def asset(
            request: Request[Any, Any, State],
            name: Annotated[str, PathParameter(description="As the page names it")],
        ) -> ASGIResponse:
            found = (await self.forms(request.app)).files.get(name)
            if found is None:
                raise not_here("file")
            # Litestar would add a second charset to a media type.
            headers = {"Cache-Control": _FOR_EVER, "Content-Type": found.media_type}
            return _InPieces(body=found.content, headers=headers)

        return asset


def make_forms(app: Litestar) -> Forms:
    """Make the documents of an application, in all their forms."""
    document = complete(app.openapi_schema.to_schema())
    # By way of JSON, so that only plain values are left.
    encoded = orjson.dumps(document)
    plain = orjson.loads(encoded)
    as_yaml = yaml.dump(plain, Dumper=_DUMPER, sort_keys=False, allow_unicode=True)
    files = assets()
    urls = {name: f"{_ASSETS}/{asset.name}" for name, asset in files.items()}
    page = Template((STATIC / "schema.html").read_text("utf-8")).substitute(
        style=urls["schema.css"],
        script=urls["openapi-explorer.min.js"],
        integrity=files["openapi-explorer.min.js"].integrity,
        license=manifest()["license"],
        licence=urls["LICENSE"],
        bundled=urls["LICENSES-BUNDLED.txt"],
    )
    return Forms(
        json=encoded,
        yaml=as_yaml.encode(),
        html=page.encode(),
        asyncapi=orjson.dumps(asyncapi(plain["info"]["version"])),
        json_schema=orjson.dumps(json_schema()),
        files={each.name: each for each in files.values()},
    )


async def _no_html(response: Response[Any]) -> Response[Any]:
    """Replace the page that Litestar has for unknown paths below the schema's."""
    if response.status_code == HTTP_404_NOT_FOUND:
        raise NotFoundException
    return response


class _InPieces(ASGIResponse):
    """An answer of which a peer that reads slowly holds one piece, and not a copy of it all."""

    async def send_body(self, send: Send, receive: Receive) -> None:
        """Send the body piece by piece."""
        del receive
        for start in range(0, len(self.body), _CHUNK_BYTES):
            end = start + _CHUNK_BYTES
            await send(
                {
                    "type": "http.response.body",
                    "body": self.body[start:end],
                    "more_body": end < len(self.body),
                }
            )
