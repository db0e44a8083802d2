"""Secrets and signatures of webhooks, by the Standard Webhooks specification, version 1.

See https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md;
libraries that verify them exist for most languages.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from typing import Final

from server.support.errors import BadValue

PREFIX: Final = "whsec_"
SHORTEST, LONGEST = 24, 64
"""Bytes of a secret."""

FORM: Final = f"{PREFIX} and {SHORTEST} to {LONGEST} bytes in base64"


def new_secret() -> str:
    """Draw a secret."""
    return PREFIX + base64.b64encode(secrets.token_bytes(SHORTEST)).decode()


def check_secret(text: str) -> str:
    """Give a secret that can sign.

    Raises:
        BadValue: if it cannot; what was given is not in the message.
    """
    if text.startswith(PREFIX) and SHORTEST <= len(_bytes_of(text)) <= LONGEST:
        return text
    raise BadValue(f"must be {FORM}")


def signed(secret: str, message_id: str, at: float, body: bytes) -> Mapping[str, str]:
    """Make the headers by which a receiver knows who has sent a body, and when."""
    timestamp = str(int(at))
    content = b".".join((message_id.encode(), timestamp.encode(), body))
    digest = hmac.new(_bytes_of(secret), content, hashlib.sha256).digest()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": "v1," + base64.b64encode(digest).decode(),
    }


def _bytes_of(secret: str) -> bytes:
    """Decode a secret; what is none is empty."""
    try:
        return base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        return b""
