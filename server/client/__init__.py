"""A client library for rooms of both kinds, on Trio: what ``protocol.client`` decides, carried out.

Needs nothing of the server.
"""

from server.client.chat import Chat as Chat
from server.client.creating import Opened as Opened
from server.client.creating import create_room as create_room
from server.client.errors import CannotCreate as CannotCreate
from server.client.errors import Declined as Declined
from server.client.errors import Lagging as Lagging
from server.client.errors import NotReached as NotReached
from server.client.errors import RoomOver as RoomOver
from server.client.opening import open_chat as open_chat
from server.client.opening import open_room as open_room
from server.client.room import Room as Room
