"""A member's seat in a chat room."""

from protocol.changes import Ack
from protocol.chat_changes import History
from protocol.chat_picture import ChatPicture
from protocol.client_chat import ChatClient
from protocol.talking import (
    DeleteMessage,
    EditMessage,
    MarkRead,
    ReadHistory,
    SayOnce,
    TalkRequest,
    Typing,
)
from server.client.seat import Seat
from server.client.streams import Address, Dial


class Chat(Seat[ChatPicture]):
    """What a member sees of its chat room, and what it may ask for."""

    def __init__(self, client: ChatClient, dial: Dial, address: Address, path: str) -> None:
        """Take a seat as soon as :meth:`run` runs; :func:`~server.client.open_chat` does both."""
        super().__init__(client, dial, address, path)

    async def say(self, text: str) -> int:
        """Speak; give the message's number.

        After a crash of the server that has lost it, it is said again, and has another number.

        Raises:
            Declined: if the room refuses it.
            RoomOver: if it is over before there is an answer.
        """
        return await self._do(SayOnce(text))

    async def edit(self, seq: int, text: str) -> int:
        """Give an own message another text; give the change's number; raises as :meth:`say`."""
        return await self._do(EditMessage(seq, text))

    async def delete(self, seq: int) -> int:
        """Take an own message back; give the change's number; raises as :meth:`say`."""
        return await self._do(DeleteMessage(seq))

    async def read(self, seq: int) -> None:
        """Note that the account has read everything up to a number; raises as :meth:`say`."""
        await self._do(MarkRead(seq))

    async def typing(self) -> None:
        """Let the others know that something is being written; raises as :meth:`say`."""
        await self._do(Typing())

    async def history(self, *, before: int | None = None, limit: int = 50) -> History:
        """Fetch the latest messages below a number, or of all; raises as :meth:`say`."""
        return await self._ask(ReadHistory(before, limit), History)

    async def _do(self, request: TalkRequest) -> int:
        return (await self._ask(request, Ack)).seq
