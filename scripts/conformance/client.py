"""Autobahn's fuzzing client as ported by ``port.py``.

Usage: client.py SPECIFICATION

The cases speak of byte strings as ``str`` (see there), autobahn of ``bytes``. Everything here
converts between the two.
"""

import json
import sys
import warnings
from pathlib import Path
from typing import Any

# What is imported below is old, and warns of it.
warnings.simplefilter("ignore")

from autobahn.twisted.websocket import (  # type: ignore[import-not-found]  # noqa: E402
    WebSocketClientProtocol,
)
from autobahntestsuite3 import fuzzing  # type: ignore[import-not-found]  # noqa: E402
from twisted.internet import reactor  # type: ignore[import-not-found]  # noqa: E402


def _to_bytes(data: Any) -> Any:
    return data.encode("latin-1") if isinstance(data, str) else data


def _to_str(data: Any) -> Any:
    return data.decode("latin-1") if isinstance(data, bytes | bytearray) else data


class _Lenient(bytes):
    """The peer's close reason: whether it is UTF-8 is judged before it is decoded for the log."""

    def decode(self, *_: object) -> str:
        return bytes.decode(self, "utf-8", "replace")


class _Outward(WebSocketClientProtocol):  # type: ignore[misc]  # of an unknown base
    """What the cases send."""

    def sendFrame(  # noqa: N802
        self, opcode: int, payload: Any = b"", *args: Any, **options: Any
    ) -> Any:
        payload = _to_bytes(payload)
        size = options.pop("payload_len", None)
        if size:  # done here, because autobahn divides such that a float comes out
            payload = (payload * (size // len(payload) + 1))[:size]
        return super().sendFrame(opcode, payload, *args, **options)

    def sendMessage(self, payload: Any, *args: Any, **options: Any) -> Any:  # noqa: N802
        return super().sendMessage(_to_bytes(payload), *args, **options)

    def sendMessageFrame(self, payload: Any, *args: Any, **options: Any) -> Any:  # noqa: N802
        return super().sendMessageFrame(_to_bytes(payload), *args, **options)

    def sendMessageFrameData(self, payload: Any, *args: Any, **options: Any) -> Any:  # noqa: N802
        return super().sendMessageFrameData(_to_bytes(payload), *args, **options)

    def sendCloseFrame(  # noqa: N802
        self,
        code: Any = None,
        reasonUtf8: Any = None,  # noqa: N803 - the cases name it so
        *args: Any,
        **options: Any,
    ) -> Any:
        return super().sendCloseFrame(code, _to_bytes(reasonUtf8), *args, **options)

    def sendPing(self, payload: Any = None) -> Any:  # noqa: N802
        return super().sendPing(_to_bytes(payload))

    def sendPong(self, payload: Any = None) -> Any:  # noqa: N802
        return super().sendPong(_to_bytes(payload))

    def onCloseFrame(self, code: Any, reason: Any) -> Any:  # noqa: N802
        return super().onCloseFrame(code, None if reason is None else _Lenient(reason))


class _Inward(fuzzing.FuzzingClientProtocol, _Outward):  # type: ignore[misc]  # as above
    """What the cases receive and log."""

    def onMessage(self, payload: Any, binary: bool) -> None:  # noqa: N802
        super().onMessage(_to_str(payload), binary)

    def onPong(self, payload: Any) -> None:  # noqa: N802
        super().onPong(_to_str(payload))

    def logRxOctets(self, data: Any) -> None:  # noqa: N802
        super().logRxOctets(_to_str(data))

    def logTxOctets(self, data: Any, sync: Any) -> None:  # noqa: N802
        super().logTxOctets(_to_str(data), sync)

    def logRxFrame(self, header: Any, payload: Any) -> None:  # noqa: N802
        super().logRxFrame(header, [_to_str(each) for each in payload])

    def logTxFrame(self, header: Any, payload: Any, *args: Any) -> None:  # noqa: N802
        super().logTxFrame(header, _to_str(payload), *args)


class _Json:
    """The module ``json`` as ``fuzzing`` uses it, but for bytes."""

    load = staticmethod(json.load)
    loads = staticmethod(json.loads)

    @staticmethod
    def dumps(value: object, **options: Any) -> str:
        return json.dumps(value, default=_to_str, **options)


def main(specification: Path) -> None:
    """Run the cases and write the reports that the specification asks for."""
    # Both are looked up there by name when a connection is made.
    fuzzing.FuzzingClientProtocol = _Inward
    fuzzing.FuzzingClientFactory.protocol = _Inward
    fuzzing.json = _Json
    fuzzing.startClient(json.loads(specification.read_text("utf-8")))
    reactor.run()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
