"""Who may import whom, and who may catch everything: the rules of design.md, by ``ast``.

A rule is a function from one module's syntax tree to its violations, so that each can be shown
to find one.
"""

import ast
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parent.parent

ORDER: Final = [
    *("__main__", "app", "config", "options", "values", "lifecycle", "listener", "admission"),
    *("chat_admission", "door", "replay", "transport", "lane", "poller", "heartbeat", "peer"),
    *("sinks", "session", "outbox", "http", "chatrooms", "hub", "room", "fanout", "alarm"),
    *("inbox", "accounts", "store", "descriptors", "passwords", "tokens", "credentials"),
    *("proxies", "sites", "throttle", "supervise", "observe", "threads", "bucket", "counters"),
]
"""The modules and packages of ``server``, topmost first; they import downwards only."""

UPWARDS: Final[set[tuple[str, str]]] = set()
"""Exceptions to the order: who imports whom all the same."""

# Of the standard library, protocol/ takes only what computes; a new one must be judged here.
COMPUTES: Final = {
    *(
        "collections",
        "datetime",
        "enum",
        "fractions",
        "re",
        "statistics",
        "types",
        "typing",
        "unicodedata",
    ),
    "urllib",
}
PURE: Final = COMPUTES | {"attrs", "cattrs", "orjson", "protocol"}

NEVER_OF_ROOM: Final = {"session", "transport", "http", "store"}
ROOMS: Final = {"room", "fanout", "inbox", "alarm"}

CATCHES_ALL: Final = {
    "protocol/codec.py": "cattrs raises many kinds on data of a wrong shape",
    "server/admission.py": "closes the peer, then raises again",
    "server/store/writer.py": "logs and leaves out one write that fails; the others are written",
    "server/listener.py": "closes the sockets already bound, then raises again",
    "scripts/botlib/link.py": "closes the stream, then raises again",
    "scripts/botlib/poker.py": "supervises one simulated room; the others go on",
    "scripts/botlib/chat/rooms.py": "supervises one simulated room; the others go on",
    "scripts/botlib/social/society.py": "supervises one simulated person; the others go on",
}

NAMED_TUPLE: Final = {"_asdict", "_fields", "_make", "_replace"}
"""Underscore names that are public all the same."""

Rule = Callable[[str, ast.Module], Iterator[str]]


def imports(tree: ast.Module) -> Iterator[str]:
    """Give every imported name in full, such as ``server.room.Room``; also of late imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def server_part(name: str) -> str | None:
    """Give the ``room`` of ``server.room.Room``."""
    top, _, rest = name.partition(".")
    return rest.partition(".")[0] if top == "server" and rest else None


def place(path: str) -> str:
    """Give the ``http`` of ``server/http/errors.py``."""
    return Path(path).with_suffix("").parts[1]


def impure(path: str, tree: ast.Module) -> Iterator[str]:
    """Find what is neither computation nor protocol in protocol/."""
    for name in imports(tree) if path.startswith("protocol/") else ():
        if name.partition(".")[0] not in PURE or name.startswith("urllib.request"):
            yield f"imports {name}"


def upward(path: str, tree: ast.Module) -> Iterator[str]:
    """Find imports within server/ that do not go downwards."""
    if not path.startswith("server/") or path == "server/__init__.py":
        return
    here = place(path)
    for part in filter(None, map(server_part, imports(tree))):
        if part != here and (here, part) not in UPWARDS and ORDER.index(part) < ORDER.index(here):
            yield f"imports {part}, which is above it"


def room_knows_too_much(path: str, tree: ast.Module) -> Iterator[str]:
    """Find what a room must never import, be it downwards."""
    if path.startswith("server/") and place(path) in ROOMS:
        for part in map(server_part, imports(tree)):
            if part in NEVER_OF_ROOM:
                yield f"imports {part}"


def foreign_websocket(path: str, tree: ast.Module) -> Iterator[str]:
    """Find trio_websocket outside the server's one file for it."""
    if path.startswith(("server/", "protocol/")) and path != "server/transport.py":
        yield from (f"imports {name}" for name in imports(tree) if "trio_websocket" in name)


def underscore_names(path: str, tree: ast.Module) -> Iterator[str]:
    """Find where tests and scripts reach inside: underscore names that are not their own."""
    if not path.startswith(("tests/", "scripts/")):
        return
    for name in imports(tree):
        if any(part.startswith("_") and not part.startswith("__") for part in name.split(".")):
            yield f"imports {name}"
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute) or node.attr in NAMED_TUPLE:
            continue
        own = isinstance(node.value, ast.Name) and node.value.id in {"self", "cls"}
        if node.attr[:1] == "_" and node.attr[:2] != "__" and not own:
            yield f"uses .{node.attr} in line {node.lineno}"


def broad_catch(path: str, tree: ast.Module) -> Iterator[str]:
    """Find handlers of everything, outside the one place that has the right to them."""
    if path == "server/supervise.py" or path in CATCHES_ALL or path.startswith("tests/"):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler):
            kinds = [node.type or ast.Name("BaseException")]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("suppress"):
            kinds = list(node.args)
        else:
            continue
        names = {part.id for kind in kinds for part in ast.walk(kind) if isinstance(part, ast.Name)}
        if names & {"Exception", "BaseException", "ExceptionGroup", "BaseExceptionGroup"}:
            yield f"catches everything in line {node.lineno}"


RULES: Final[list[Rule]] = [
    impure,
    upward,
    room_knows_too_much,
    foreign_websocket,
    underscore_names,
    broad_catch,
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_code_keeps_the_rule(rule: Rule) -> None:
    tops = ("protocol", "server", "scripts", "tests")
    files = sorted(path for top in tops for path in (ROOT / top).rglob("*.py"))
    assert len(files) > 60

    found = [
        f"{path.relative_to(ROOT)} {violation}"
        for path in files
        for violation in rule(path.relative_to(ROOT).as_posix(), ast.parse(path.read_text("utf-8")))
    ]

    assert found == []


@pytest.mark.parametrize(
    ("rule", "path", "source"),
    [
        (impure, "protocol/chat.py", "import trio"),
        (impure, "protocol/chat.py", "def f():\n    from time import monotonic"),
        (impure, "protocol/dialects/new.py", "import random"),
        (impure, "protocol/dialects/new.py", "from time import monotonic"),
        (impure, "protocol/chat.py", "from server.room import Room"),
        (impure, "protocol/chat.py", "import urllib.request"),
        (upward, "server/hub.py", "from server.app import serve"),
        (upward, "server/http/pages.py", "from server.door import Door"),
        (upward, "server/store/new.py", "from server.http.errors import NotHere"),
        (upward, "server/counters.py", "from server import observe"),
        (room_knows_too_much, "server/room.py", "from server.store.results import ResultsStore"),
        (room_knows_too_much, "server/fanout.py", "from server.session import Session"),
        (foreign_websocket, "server/lane.py", "import trio_websocket"),
        (underscore_names, "tests/server/x.py", "from server.room import _LEAVE"),
        (underscore_names, "tests/server/x.py", "room._members"),
        (underscore_names, "scripts/x.py", "self.room._members"),
        (broad_catch, "server/room.py", "try:\n    f()\nexcept Exception:\n    pass"),
        (broad_catch, "server/room.py", "try:\n    f()\nexcept:\n    pass"),
        (broad_catch, "server/http/x.py", "try:\n    f()\nexcept (A, BaseException):\n    pass"),
        (broad_catch, "server/http/x.py", "with contextlib.suppress(Exception):\n    pass"),
    ],
)
def test_the_rule_finds_a_violation(rule: Rule, path: str, source: str) -> None:
    assert list(rule(path, ast.parse(source)))


def test_every_module_of_the_server_has_its_place_in_the_order() -> None:
    parts = {
        path.stem
        for path in (ROOT / "server").iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    }

    assert parts - {"__init__"} == set(ORDER)


def test_the_exceptions_are_needed() -> None:
    for path in CATCHES_ALL:
        tree = ast.parse((ROOT / path).read_text("utf-8"))
        assert list(broad_catch("server/elsewhere.py", tree)), path
    assert sys.stdlib_module_names >= COMPUTES
