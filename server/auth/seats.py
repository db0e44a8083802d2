"""Secrets that open a seat in a room, or the room: derived or sealed, so that none is stored."""

import base64
import hashlib
import hmac
import secrets
from typing import Final

from protocol.ids import MemberId, RoomId

SECRET_BYTES: Final = 32
"""Of the secret from which all are derived."""

_MAC_BYTES: Final = 18
"""144 bits of SHA-256, 24 characters; RFC 2104 section 5 asks for 80 bits at the least."""

MEMBER_BYTES: Final = 8
"""Of a member's id."""

_NONCE: Final = "nonce"
_OWNER: Final = "owner"
_SEAT: Final = "seat"
_CHAT: Final = "chat"
_PASSCODE: Final = "passcode"
_SALT_BYTES: Final = 8


class SeatKeys:
    """Makes and judges resume tokens and owner keys, and judges passcodes.

    A resume token is the member's id, a dot and a code; an owner key is a code alone. Both hold
    for one life of one room.
    """

    def __init__(self, secret: bytes) -> None:
        """Derive all from ``secret``, which must be the same after a restart."""
        self._secret = secret

    def token(self, session_id: int, member: MemberId) -> str:
        """Make the token that opens a member's seat again."""
        return self._token(_SEAT, str(session_id), member)

    def member(self, session_id: int, token: str) -> MemberId | None:
        """Say whose token this is; ``None`` if it is none of this room's."""
        return self._member(_SEAT, str(session_id), token)

    def member_of(self, session_id: int, nonce: str) -> MemberId:
        """Give the member that a client's own secret stands for; the same for the same."""
        return MemberId(self._mac(_NONCE, str(session_id), nonce)[:MEMBER_BYTES].hex())

    def chat_token(self, room_id: RoomId, user_id: int, member: MemberId) -> str:
        """Make the token that opens an account's seat in a chat room again."""
        return self._token(_CHAT, f"{room_id}/{user_id}", member)

    def chat_member(self, room_id: RoomId, user_id: int, token: str) -> MemberId | None:
        """Say which member this token is of; ``None`` if it is none of this room and account."""
        return self._member(_CHAT, f"{room_id}/{user_id}", token)

    def owner_key(self, session_id: int) -> str:
        """Make the key that makes a member the owner."""
        return self._code(_OWNER, str(session_id), "")

    def is_owner_key(self, session_id: int, key: str) -> bool:
        """Tell whether this is the room's owner key."""
        return hmac.compare_digest(self.owner_key(session_id), _ascii(key))

    def seal(self, passcode: str) -> str:
        """Make what is kept in place of a room's passcode; never the same twice.

        Whoever reads it without the secret learns nothing of the passcode, and with the secret has
        to try them all.
        """
        salt = secrets.token_hex(_SALT_BYTES)
        return f"{salt}.{self._code(_PASSCODE, salt, passcode)}"

    def opens(self, seal: str, passcode: str) -> bool:
        """Tell whether this is the passcode that was sealed."""
        salt, _, code = seal.partition(".")
        good = self._code(_PASSCODE, salt, passcode)
        return hmac.compare_digest(good, _ascii(code))

    def _token(self, purpose: str, place: str, member: str) -> str:
        return f"{member}.{self._code(purpose, place, member)}"

    def _member(self, purpose: str, place: str, token: str) -> MemberId | None:
        member, _, code = token.partition(".")
        good = self._code(purpose, place, member)
        return MemberId(member) if hmac.compare_digest(good, _ascii(code)) else None

    def _code(self, purpose: str, place: str, member: str) -> str:
        mac = self._mac(purpose, place, member)
        return base64.urlsafe_b64encode(mac[:_MAC_BYTES]).decode()

    def _mac(self, purpose: str, place: str, text: str) -> bytes:
        message = f"{purpose}\0{place}\0{text}".encode(errors="surrogatepass")
        return hmac.digest(self._secret, message, hashlib.sha256)


def _ascii(text: str) -> str:
    """Give what can be compared; what is not ASCII is like nothing that was made here."""
    return text if text.isascii() else ""
