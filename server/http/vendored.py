"""Files that browsers load: ours from ``static/``, those of others from ``vendor/``."""

import base64
import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import attrs

STATIC: Final = Path(__file__).parent / "static"
VENDOR: Final = Path(__file__).parent / "vendor"
MANIFEST: Final = VENDOR / "manifest.json"
"""What each vendored file must be; ``scripts/vendor`` keeps it."""

_TYPES: Final = {".js": "text/javascript", ".css": "text/css"}


@attrs.frozen
class Asset:
    """One file, under a name that changes with its content, so that it can be cached for ever."""

    name: str
    media_type: str
    content: bytes = attrs.field(repr=False)
    digest: bytes

    @classmethod
    def read(cls, path: Path) -> "Asset":
        """Read a file.

        Raises:
            OSError: if it is not there, which means that the installation is broken.
        """
        content = path.read_bytes()
        digest = hashlib.sha256(content).digest()
        media_type = _TYPES.get(path.suffix, "text/plain") + "; charset=utf-8"
        return cls(f"{digest.hex()[:16]}-{path.name}", media_type, content, digest)

    @property
    def integrity(self) -> str:
        """The hash by which a browser verifies the file (W3C, Subresource Integrity)."""
        return "sha256-" + base64.b64encode(self.digest).decode()


@cache
def manifest() -> Mapping[str, Any]:
    """Read the manifest of the vendored files."""
    return MappingProxyType(json.loads(MANIFEST.read_text("utf-8")))


@cache
def assets() -> Mapping[str, Asset]:
    """Read all files that a page may load: the vendored ones and our style sheet.

    Returns:
        The files by their own names, such as ``schema.css``.
    """
    paths = [VENDOR / each["name"] for each in manifest()["files"]]
    paths.append(STATIC / "schema.css")
    return MappingProxyType({path.name: Asset.read(path) for path in paths})
