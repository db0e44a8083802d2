"""A bot with a token of its own, and what becomes of the room that it has opened."""

from pathlib import Path

import attrs
import pytest
import trio

from protocol.farewell import Ending
from server.client import RoomOver, open_room
from tests.wire.process import running
from tests.wire.raw import fetch
from tests.wire.test_chat import ask, register


async def test_a_bot_opens_a_room_plays_in_it_and_is_shut_out(tmp_path: Path) -> None:
    environ = {"PARLEY_DATABASE_URL": f"sqlite:///{tmp_path}/parley.db"}
    with running(tmp_path / "log", environ=environ) as server:
        ada = await register(server, "Ada")
        wish = {"name": "bot", "scopes": ["rooms:open", "rooms:join"]}
        made = (await ask(server, "POST", "/v1/tokens", wish, by=ada, status=201)).json
        bot = attrs.evolve(ada, token=made["token"])
        await ask(server, "GET", "/v1/sessions", by=bot, status=403)
        room = (await ask(server, "POST", "/v1/rooms", {"capacity": 3}, by=bot, status=201)).json
        async with (
            open_room(server.url, room["id"], name="Guest", owner_key=room["owner_key"]) as guest,
            open_room(server.url, room["id"], account_token=bot.token) as playing,
        ):
            assert [each.name for each in playing.picture.members] == ["Guest", "Ada"]
            await guest.begin("T-1")
            await playing.wait_for(lambda picture: picture.round is not None)
            await playing.vote("5")
            await guest.reveal()
            await ask(server, "DELETE", f"/v1/tokens/{made['id']}", by=ada, status=204)
            with trio.fail_after(10), pytest.raises(RoomOver) as over:
                await playing.wait_for(lambda _: False)
            assert over.value.over.reason is Ending.SIGNED_OUT
            await guest.wait_for(lambda picture: len(picture.members) == 1)
            await ask(server, "POST", "/v1/rooms", {"capacity": 3}, by=bot, status=401)
            owner = attrs.evolve(ada, token=room["owner_key"])
            await ask(server, "DELETE", room["socket"], by=owner, status=204)
        gone = await ask(server, "GET", room["socket"], status=410)
        assert gone.json["results"] == room["results"].partition("?")[0]
        assert len((await fetch(server, room["results"])).json["tickets"]) == 1
        [session] = (await ask(server, "GET", "/v1/sessions", by=ada)).json
        assert (session["room_id"], session["owner"]) == (room["id"], True)
        await ask(server, "DELETE", f"/v1/sessions/{session['id']}", by=ada, status=204)
        assert (await fetch(server, room["results"])).status == 404
        await ask(server, "GET", room["socket"], status=404)
