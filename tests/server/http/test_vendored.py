"""What a browser is given below ``/schema``: the page, its files, and nothing from elsewhere."""

import hashlib
import re

import orjson
import pytest
import yaml

from protocol.asyncapi import asyncapi
from protocol.schema import json_schema
from server.http.vendored import MANIFEST, VENDOR, assets, manifest
from tests.server.http.test_application import ask
from tests.server.http_client import Answer, make_server

BROWSER = "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"


async def the_page() -> Answer:
    return await ask(make_server(), "/schema", head=BROWSER)


def test_vendored_files_are_those_of_the_manifest() -> None:
    assert {path.name for path in VENDOR.iterdir()} == {
        MANIFEST.name,
        *(each["name"] for each in manifest()["files"]),
    }
    for each in manifest()["files"]:
        content = (VENDOR / each["name"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == each["sha256"]
        assert len(content) == each["bytes"]


def test_the_licence_of_what_is_vendored_comes_along() -> None:
    assert manifest()["license"] == "Apache-2.0"
    assert "Apache License" in (VENDOR / "LICENSE").read_text("utf-8")
    assert "\nlit 2." in (VENDOR / "LICENSES-BUNDLED.txt").read_text("utf-8")


async def test_a_browser_gets_a_page_and_everybody_else_the_document() -> None:
    page = await the_page()

    assert page.status == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["vary"] == "Accept"
    for accept in ("", "Accept: */*\r\n", "Accept: application/json\r\n", "Accept: ;q=x,,\r\n"):
        answer = await ask(make_server(), "/schema", head=accept)
        assert answer.headers["content-type"] == "application/vnd.oai.openapi+json"
        assert answer.headers["vary"] == "Accept"
        assert answer.json["openapi"].startswith("3.1.")


async def test_the_page_may_load_nothing_from_elsewhere_and_be_framed_by_nobody() -> None:
    page = await the_page()

    policy = dict(
        each.strip().split(" ", 1) for each in page.headers["content-security-policy"].split(";")
    )
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert page.headers["x-frame-options"] == "DENY"
    assert page.headers["referrer-policy"] == "no-referrer"
    assert page.headers["x-content-type-options"] == "nosniff"
    assert b"://" not in page.body


async def test_what_the_page_loads_is_what_the_manifest_says() -> None:
    page = (await the_page()).body.decode()
    hashes = {each["name"]: each["sha256"] for each in manifest()["files"]}

    found = dict(re.findall(r'(?:src|href)="(/schema/assets/\w+-([^"]+))"', page))

    assert set(found.values()) == {*hashes, "schema.css"}
    for url, name in found.items():
        answer = await ask(make_server(), url)
        assert answer.status == 200
        assert answer.headers["content-length"] == str(len(answer.body))
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert answer.headers["x-content-type-options"] == "nosniff"
        digest = hashlib.sha256(answer.body).hexdigest()
        assert digest == hashes.get(name, digest)
        assert digest.startswith(url.rpartition("/")[2].partition("-")[0])
    script = assets()["openapi-explorer.min.js"]
    assert f'src="/schema/assets/{script.name}" integrity="{script.integrity}"' in page


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("openapi-explorer.min.js", "text/javascript; charset=utf-8"),
        ("schema.css", "text/css; charset=utf-8"),
        ("LICENSE", "text/plain; charset=utf-8"),
    ],
)
async def test_files_have_their_types(name: str, media_type: str) -> None:
    answer = await ask(make_server(), f"/schema/assets/{assets()[name].name}")

    assert answer.headers["content-type"] == media_type


@pytest.mark.parametrize("name", ["x", "manifest.json", "..%2fmanifest.json", "LICENSE"])
async def test_no_other_file_is_served(name: str) -> None:
    answer = await ask(make_server(), f"/schema/assets/{name}")

    assert answer.status == 404
    assert set(answer.json) == {"error"}


async def test_parley_v1_is_described_for_tools() -> None:
    server = make_server()

    document = await ask(server, "/schema/asyncapi.json")
    schema = await ask(server, "/schema/parley-v1.json")

    assert document.headers["content-type"] == "application/vnd.aai.asyncapi+json"
    assert document.json == asyncapi("1.2.3")
    assert schema.headers["content-type"] == "application/schema+json"
    assert schema.json == json_schema()
    page = await the_page()
    for target in ("/schema/asyncapi.json", "/schema/parley-v1.json"):
        assert f'href="{target}"'.encode() in page.body


async def test_all_forms_are_the_same_document() -> None:
    server = make_server(echo=True)

    as_json = await ask(server, "/schema/openapi.json")
    as_yaml = await ask(server, "/schema/openapi.yaml")

    assert as_yaml.headers["content-type"] == "application/yaml"
    assert orjson.loads(as_json.body) == yaml.safe_load(as_yaml.body)
    assert (await ask(server, "/schema")).body == as_json.body
