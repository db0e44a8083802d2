"""A server's accounts, follows, posts and chat rooms in memory: honest, unless told otherwise."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import attrs

Json = dict[str, Any]


@attrs.define
class Request:
    method: str
    target: str
    headers: dict[str, str] = attrs.field(factory=dict)
    body: Any = None

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        return {key: each[0] for key, each in parse_qs(urlsplit(self.target).query).items()}

    @property
    def token(self) -> str:
        return self.headers.get("authorization", "").removeprefix("Bearer ")


@attrs.define
class Reply:
    status: int
    body: Any = None
    headers: list[tuple[str, str]] = attrs.field(factory=list)
    raw: bytes | None = None

    @property
    def content(self) -> bytes:
        if self.raw is not None:
            return self.raw
        return b"" if self.status == 204 else json.dumps(self.body).encode()


Twist = Callable[["World", Request, Reply], Reply | None]
"""Looks at every reply, may change it, or puts another one in its place."""


class Refused(Exception):
    def __init__(self, status: int) -> None:
        self.reply = Reply(status, {"error": f"that is a {status}"})


def honest(world: "World", request: Request, reply: Reply) -> None:
    del world, request, reply


@attrs.define(eq=False)
class World:
    """Everything a server keeps."""

    twist: Twist = honest
    users: dict[int, Json] = attrs.field(factory=dict)
    tokens: dict[str, int] = attrs.field(factory=dict)
    follows: dict[int, list[int]] = attrs.field(factory=dict)
    posts: list[Json] = attrs.field(factory=list)
    keys: dict[tuple[int, str], Json] = attrs.field(factory=dict)
    rooms: list[Json] = attrs.field(factory=list)
    kept: dict[str, list[Json]] = attrs.field(factory=dict)
    present: dict[str, list[int]] = attrs.field(factory=dict)
    ids: int = 0

    def answer(self, request: Request) -> Reply:
        try:
            reply = self._route(request)
        except Refused as refused:
            reply = refused.reply
        return self.twist(self, request, reply) or reply

    def whose(self, request: Request) -> int:
        if request.token not in self.tokens:
            raise Refused(401)
        return self.tokens[request.token]

    def new_id(self) -> int:
        self.ids += 1
        return self.ids

    def now(self) -> str:
        # Several things in one millisecond.
        moment = datetime(2030, 1, 1, tzinfo=UTC) + timedelta(milliseconds=self.ids // 3)
        return moment.isoformat(timespec="milliseconds")

    def _route(self, request: Request) -> Reply:
        match request.method, request.path.strip("/").split("/"):
            case "POST", ["register"]:
                return self._register(request.body)
            case "POST", ["login"]:
                return self._login(request.body)
        own = self.whose(request)
        match request.method, request.path.strip("/").split("/"):
            case "POST", ["logout"]:
                del self.tokens[request.token]
                return Reply(202, {"message": "bye"})
            case "DELETE", ["delete"]:
                return self._delete_account(own)
            case "POST", ["follow"]:
                return self._follow(own, int(request.query["toFollowId"]))
            case "POST", ["unfollow"]:
                other = int(request.query["toUnfollowId"])
                self.follows[own] = [each for each in self.follows[own] if each != other]
                return Reply(200, {"message": "done"})
            case "POST", ["posts"]:
                return self._post(own, request)
            case method, ["posts", number]:
                return self._one_post(own, method, int(number))
            case "GET", ["timeline"]:
                authors = {own, *self.follows[own]}
                return self._page(request, [p for p in self.posts if p["author"]["id"] in authors])
            case "GET", ["users", number, "posts"]:
                theirs = [p for p in self.posts if p["author"]["id"] == int(number)]
                return self._page(request, theirs)
            case "GET", ["users", number, "following"]:
                told = [self._public(each) for each in self.follows[int(number)]]
                return self._page(request, told)
            case "GET", ["users", number] if int(number) in self.users:
                return Reply(200, self._public(int(number)))
            case "POST", ["ws", "createRoom"]:
                return self._create_room(request.body)
            case "GET", ["ws", "getRooms"]:
                return Reply(200, list(self.rooms))
            case "GET", ["ws", "getClients", room]:
                there = dict.fromkeys(self.present[room])
                told = [{"id": each, "username": self.users[each]["username"]} for each in there]
                return Reply(200, told)
            case "GET", ["rooms", room, "messages"]:
                return self._page(request, self.kept[room])
        raise Refused(404)

    def _register(self, body: Json) -> Reply:
        if any(user["email"] == body["email"] for user in self.users.values()):
            raise Refused(409)
        number = self.new_id()
        self.users[number] = {"id": number, **body}
        self.follows[number] = []
        return self._entered(201, number)

    def _login(self, body: Json) -> Reply:
        for number, user in self.users.items():
            if (user["email"], user["password"]) == (body["email"], body["password"]):
                return self._entered(200, number)
        raise Refused(401)

    def _entered(self, status: int, number: int) -> Reply:
        token = f"token-{self.new_id()}"
        self.tokens[token] = number
        user = self.users[number]
        told = {"id": number, "username": user["username"], "email": user["email"]}
        return Reply(status, told, [("Set-Cookie", f"auth_token={token}; Path=/; HttpOnly")])

    def _delete_account(self, own: int) -> Reply:
        del self.users[own], self.follows[own]
        self.tokens = {token: user for token, user in self.tokens.items() if user != own}
        self.posts = [each for each in self.posts if each["author"]["id"] != own]
        for user, followed in self.follows.items():
            self.follows[user] = [each for each in followed if each != own]
        return Reply(204)

    def _follow(self, own: int, other: int) -> Reply:
        if other == own:
            raise Refused(409)
        if other not in self.users:
            raise Refused(404)
        if other not in self.follows[own]:
            self.follows[own].append(other)
        return Reply(200, {"message": "done"})

    def _post(self, own: int, request: Request) -> Reply:
        key = (own, request.headers.get("idempotency-key", f"none-{self.new_id()}"))
        text = request.body["text"]
        if key not in self.keys:
            author = {"id": own, "username": self.users[own]["username"]}
            post = {"id": self.new_id(), "author": author, "text": text, "created_at": self.now()}
            self.keys[key] = post
            self.posts.insert(0, post)
        if self.keys[key]["text"] != text:
            raise Refused(409)
        return Reply(201, self.keys[key])

    def _one_post(self, own: int, method: str, number: int) -> Reply:
        found = next((each for each in self.posts if each["id"] == number), None)
        if found is None:
            raise Refused(404)
        if method == "GET":
            return Reply(200, found)
        if found["author"]["id"] != own:
            raise Refused(403)
        self.posts.remove(found)
        return Reply(204)

    def _create_room(self, body: Json) -> Reply:
        if body in self.rooms:
            raise Refused(409)
        self.rooms.append(body)
        self.kept[body["id"]] = []
        self.present[body["id"]] = []
        return Reply(200, body)

    def _page(self, request: Request, entries: list[Json]) -> Reply:
        """Cut a page; a cursor names the entry that was the last."""
        limit, before = int(request.query.get("limit", 20)), request.query.get("before")
        names = [str(each.get("seq", each.get("id"))) for each in entries]
        # What was deleted in between is not found any more; nobody does that here.
        start = names.index(before) + 1 if before else 0
        shown = entries[start : start + limit]
        reply = Reply(200, shown)
        if len(entries) > start + limit:
            last = names[start + limit - 1]
            link = f'<{request.path}?limit={limit}&before={last}>; rel="next"'
            reply.headers.append(("Link", link))
        return reply

    def _public(self, number: int) -> Json:
        return {"id": number, "username": self.users[number]["username"]}
