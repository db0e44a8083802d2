"""Who may import whom, and who may catch everything: the rules of server/README.md, by ``ast``.

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

PACKAGES: Final = [
    *("__main__", "command", "app", "lifecycle", "settings", "terminal", "client"),
    *("http", "admission", "edge", "rooms", "webhooks", "auth", "store", "support"),
]
"""The packages of ``server`` and the modules beside them, topmost first; imports go downwards."""

INSIDE: Final = {
    "settings": ["arguments", "options", "config", "readers"],
    "http": [
        *("application", "serve", "guard", "body_budget", "stream", "social", "routes", "access"),
        *(
            "paging",
            "inputs",
            "bodies",
            "tickets",
            "spreadsheet",
            "report",
            "outputs",
            "slices",
            "errors",
        ),
        *("parameters", "description", "sockets", "vendored", "faults"),
    ],
    "admission": [
        *(
            "parley_chats",
            "parley_v1",
            "passcodes",
            "lobby",
            "link",
            "gochat",
            "estimatex",
            "members",
            "allowances",
            "door",
        ),
        *("handshake", "routes", "session", "handlers"),
    ],
    "edge": [
        *("listener", "porch", "places", "websocket", "first_message", "lane", "outbox"),
        *("poller", "heartbeat", "closing", "prefixed", "accepted"),
    ],
    "rooms": [
        *("chat_directory", "chat_archive", "chat_log", "chat_reads", "chat_numbers", "chat_entry"),
        *("making", "lasting", "hub", "imports", "backlogs"),
        *("room", "speech", "alarms", "member", "fanout", "ring", "inbox", "timers", "journal"),
        "rebuilding",
    ],
    "client": [
        *("opening", "room", "chat", "seat", "followers", "connection", "creating"),
        *("errors", "streams"),
    ],
    "terminal": ["client", "lines", "dialogue", "arguments"],
    "auth": [
        *("bots", "accounts", "scopes", "passwords", "tokens", "seats", "attempts", "emails"),
        *("origin", "sources", "proxies", "throttle"),
    ],
    "store": [
        *(
            "housekeeping",
            "webhooks",
            "results",
            "recording",
            "visits",
            "logbook",
            "estimations",
            "chat",
            "posts",
            "follows",
            "access_tokens",
            "bot_tokens",
        ),
        *(
            "resume_secret",
            "users",
            "writer",
            "shares",
            "lease",
            "database",
            "migrate",
            "locks",
            "engines",
        ),
        *("backup", "sqlite_file", "records", "statements", "cursors", "servers", "migrations"),
        *("schema", "faults", "urls"),
    ],
    "webhooks": ["deliveries", "reports", "events", "sending", "addresses", "signing"],
    "support": [
        "supervise",
        "rationed",
        "observe",
        "threads",
        "tuning",
        "stopping",
        "one_line_parser",
        "rlimit",
        "limits",
        "bucket",
        "counters",
        "malformed",
        "errors",
    ],
}
"""The order inside each package, topmost first."""

ESTIMATION: Final = [
    *("estimation", "estimation_requests", "estimation_absence", "estimation_removal"),
    *("estimation_people", "estimation_timers"),
    *(
        "estimation_seats",
        "estimation_nudging",
        "estimation_door",
        "estimation_undo",
        "estimation_options",
        "estimation_leading",
        "estimation_roles",
        "estimation_talk",
        "estimation_rounds",
        "estimation_reveal",
        "estimation_afterwards",
        "estimation_backlog",
        "estimation_names",
    ),
    "estimation_clock",
    *(
        "estimation_telling",
        "refusals",
    ),
    *("estimation_phases", "estimation_state"),
]
"""The rules of estimation rooms in ``protocol``, topmost first; imports go downwards."""

# Of the standard library, protocol/ takes only what computes; a new one must be judged here.
COMPUTES: Final = {
    *(
        "abc",
        "ast",
        "bisect",
        "collections",
        "csv",
        "datetime",
        "enum",
        "fractions",
        "functools",
        "hashlib",
        "io",  # texts and bytes in memory
        "inspect",  # reads the sources of our own classes, for what is said of them there
        "math",
        "itertools",
        "re",
        "types",
        "typing",
        "unicodedata",
    ),
    "urllib",
}
PURE: Final = COMPUTES | {"attrs", "cattrs", "orjson", "protocol"}

NEVER_OF_ROOMS: Final = {"admission", "edge", "http"}
"""What a room must not know, wherever it stands in the order."""

WEBSOCKET: Final = {
    "server/edge/websocket.py",
    "server/terminal/client.py",
    "server/client/connection.py",
}
"""Where trio_websocket may be imported: what the server has of it, and its clients."""

CATCHES_ALL: Final = {
    "protocol/codec.py": "cattrs raises many kinds on data of a wrong shape",
    "protocol/dialects/parley_v1.py": "cattrs, as above, on what a server says",
    "server/client/creating.py": "cattrs, as above, on what a server answers",
    "protocol/journal.py": "a log of a wrong shape fails in many kinds; all are one error",
    "server/admission/parley_chats.py": "lets the room sleep again, then raises again",
    "server/admission/estimatex.py": "closes the peer, then raises again",
    "server/store/writer.py": "logs and leaves out one write that fails; the others are written",
    "server/edge/listener.py": "closes the sockets already bound, then raises again",
    "scripts/botlib/link.py": "closes the stream, then raises again",
    "scripts/botlib/lasting/play.py": "supervises one simulated room; the others go on",
    "scripts/botlib/poker.py": "supervises one simulated room; the others go on",
    "scripts/botlib/chat/rooms.py": "supervises one simulated room; the others go on",
    "scripts/botlib/talking/play.py": "supervises one simulated room; the others go on",
    "scripts/botlib/social/society.py": "supervises one simulated person; the others go on",
}

NAMED_TUPLE: Final = {"_asdict", "_fields", "_make", "_replace"}
"""Underscore names that are public all the same."""

Rule = Callable[[str, ast.Module], Iterator[str]]


def imports(tree: ast.Module) -> Iterator[str]:
    """Give every imported name in full, such as ``server.rooms.hub.Hub``; also of late imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def server_parts(name: str) -> list[str]:
    """Give the ``["rooms", "room", "Room"]`` of ``server.rooms.room.Room``."""
    top, *rest = name.split(".")
    return rest if top == "server" else []


def place(path: str) -> list[str]:
    """Give the ``["http", "errors"]`` of ``server/http/errors.py``."""
    return list(Path(path).with_suffix("").parts[1:])


def impure(path: str, tree: ast.Module) -> Iterator[str]:
    """Find what is neither computation nor protocol in protocol/."""
    for name in imports(tree) if path.startswith("protocol/") else ():
        if name.partition(".")[0] not in PURE or name.startswith("urllib.request"):
            yield f"imports {name}"


def upward(path: str, tree: ast.Module) -> Iterator[str]:
    """Find imports within server/ that do not go downwards, between packages and inside of one."""
    if not path.startswith("server/") or path.endswith("__init__.py"):
        return
    package, *inside = place(path)
    for name in imports(tree):
        there = server_parts(name)
        if not there:
            continue
        if there[0] != package:
            if PACKAGES.index(there[0]) < PACKAGES.index(package):
                yield f"imports {name}, which is above it"
        elif inside and inside[0] != there[1]:
            order = INSIDE[package]
            if order.index(there[1]) < order.index(inside[0]):
                yield f"imports {name}, which is above it"


def upward_in_the_rules(path: str, tree: ast.Module) -> Iterator[str]:
    """Find imports among the rules of estimation rooms that do not go downwards."""
    here = Path(path).stem
    if Path(path).parent != Path("protocol") or here not in ESTIMATION:
        return
    for name in imports(tree):
        there = name.split(".")[1] if name.startswith("protocol.") else ""
        if there in ESTIMATION and ESTIMATION.index(there) < ESTIMATION.index(here):
            yield f"imports {name}, which is above it"


def rooms_know_too_much(path: str, tree: ast.Module) -> Iterator[str]:
    """Find what a room must never import, in whatever direction."""
    if path.startswith("server/rooms/"):
        for name in imports(tree):
            if set(server_parts(name)[:1]) & NEVER_OF_ROOMS:
                yield f"imports {name}"


def client_knows_the_server(path: str, tree: ast.Module) -> Iterator[str]:
    """Find what clients must not need: anything of the server but what all may use."""
    if path.startswith(("server/terminal/", "server/client/")):
        for name in imports(tree):
            if set(server_parts(name)[:1]) - {place(path)[0], "support"}:
                yield f"imports {name}"


def foreign_websocket(path: str, tree: ast.Module) -> Iterator[str]:
    """Find trio_websocket outside the server's one file for it, and the client's."""
    if path.startswith(("server/", "protocol/")) and path not in WEBSOCKET:
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
    if path == "server/support/supervise.py" or path in CATCHES_ALL or path.startswith("tests/"):
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
    upward_in_the_rules,
    rooms_know_too_much,
    client_knows_the_server,
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
        (impure, "protocol/chat.py", "from server.rooms.room import Room"),
        (impure, "protocol/chat.py", "import urllib.request"),
        (upward, "server/rooms/hub.py", "from server.app import serve"),
        (upward, "server/admission/door.py", "from server.http.serve import HttpServer"),
        (upward, "server/store/database.py", "from server.store.writer import Writer"),
        (upward, "server/store/new.py", "from server.http.errors import NotHere"),
        (upward, "server/support/counters.py", "from server.support import observe"),
        (
            upward_in_the_rules,
            "protocol/estimation_rounds.py",
            "from protocol.estimation_people import vacate",
        ),
        (upward_in_the_rules, "protocol/refusals.py", "from protocol import estimation_requests"),
        (
            rooms_know_too_much,
            "server/rooms/room.py",
            "from server.edge.outbox import Outbox",
        ),
        (
            rooms_know_too_much,
            "server/rooms/fanout.py",
            "from server.admission.session import Session",
        ),
        (
            client_knows_the_server,
            "server/terminal/client.py",
            "from server.edge.lane import Lane",
        ),
        (client_knows_the_server, "server/client/room.py", "from server.rooms.room import Room"),
        (foreign_websocket, "server/edge/lane.py", "import trio_websocket"),
        (underscore_names, "tests/server/x.py", "from server.rooms.room import _LEAVE"),
        (underscore_names, "tests/server/x.py", "room._members"),
        (underscore_names, "scripts/x.py", "self.room._members"),
        (broad_catch, "server/rooms/room.py", "try:\n    f()\nexcept Exception:\n    pass"),
        (broad_catch, "server/rooms/room.py", "try:\n    f()\nexcept:\n    pass"),
        (broad_catch, "server/http/x.py", "try:\n    f()\nexcept (A, BaseException):\n    pass"),
        (broad_catch, "server/http/x.py", "with contextlib.suppress(Exception):\n    pass"),
    ],
)
def test_the_rule_finds_a_violation(rule: Rule, path: str, source: str) -> None:
    assert list(rule(path, ast.parse(source)))


def modules(folder: Path) -> set[str]:
    """Name the modules and packages in a folder."""
    return {
        path.stem
        for path in folder.iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists() or path.name == "migrations"
    } - {"__init__"}


def test_every_module_of_the_server_has_its_place_in_the_order() -> None:
    assert modules(ROOT / "server") == set(PACKAGES)
    assert {name: modules(ROOT / "server" / name) for name in INSIDE} == {
        name: set(order) for name, order in INSIDE.items()
    }


def test_every_module_of_the_estimation_rules_has_its_place_in_the_order() -> None:
    rules = {path.stem for path in (ROOT / "protocol").glob("estimation*.py")}
    assert rules | {"refusals"} == set(ESTIMATION)


def test_the_exceptions_are_needed() -> None:
    for path in CATCHES_ALL:
        tree = ast.parse((ROOT / path).read_text("utf-8"))
        assert list(broad_catch("server/elsewhere.py", tree)), path
    assert sys.stdlib_module_names >= COMPUTES
