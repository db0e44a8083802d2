"""The numbers that both sides of a connection agree on."""

from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB

NAME_LENGTH: Final = 50
"""Characters in a member's name at the most."""

TICKET_LENGTH: Final = 100
"""Characters in a ticket id at the most."""

CHAT_HISTORY: Final = 50
"""Messages that a member is told when it enters a chat room."""

CHAT_BYTES_RATE: Final = 64.0 * KIB
"""Bytes a second, as JSON, that a member of a chat room may make each of the others receive."""

CHAT_BYTES_BURST: Final = 256 * KIB
"""The same at once, by a member that was quiet."""

CHAT_PAGE: Final = 200
"""Messages, or changes, that are told at once of what is in the store."""

TYPING_SECONDS: Final = 3.0
"""In which the others are told once at most that somebody is writing."""

UNREAD_MOST: Final = 1_000
"""Unread messages are counted up to this number."""

SEATS_PER_ACCOUNT: Final = 8
"""Connections of one account in one chat room."""

SMALLEST_CAPACITY: Final = 2
"""Seats in a room at the least: nobody estimates alone."""

CLOSE_REASON_BYTES: Final = 123
"""A control frame carries 125 bytes (RFC 6455 section 5.5), two of them the close code."""

REMARK_LENGTH: Final = 1_000
"""Characters in a chat message of an estimation room at the most."""

REMARKS: Final = 100
"""Chat messages that an estimation room keeps."""

REMARKS_BYTES: Final = 64 * KIB
"""Of UTF-8 that their texts have together. As JSON that is twice as much at the worst, which fits
an outbox beside all else that a snapshot has."""

TALK_BYTES_RATE: Final = 4.0 * KIB
"""Bytes a second, as JSON, of what one member of an estimation room may say for ever."""

TALK_BYTES_BURST: Final = 16 * KIB
"""The same at once, by a member that was quiet."""

REACTION_SECONDS: Final = 0.25
"""From telling all of reactions to telling them again. What is told may be held back for as long
while a page is turned: even so, nobody hears of reactions more than five times in one second."""

ROUNDS: Final = 2_000
"""Rounds that are revealed in one room at most, so that no record grows without bound."""

ANNOUNCE_SECONDS: Final = 10.0
"""From taking a seat to announcing oneself in the room; then the seat is given up."""

GRACE_SECONDS: Final = 60.0
"""For which a member without a connection keeps its seat, where the room's creator says nothing."""

LONGEST_GRACE_SECONDS: Final = 600.0
"""What a creator may ask for."""

EMPTY_SECONDS: Final = 600.0
"""For which a room that was opened without a connection waits for somebody to come."""

NUDGE_SECONDS: Final = 10.0
"""In which a member of an estimation room is reminded of its vote once at most."""

ASK_AGAIN_SECONDS: Final = 1.0
"""For which the last one to come back may ask again before the page is turned."""

LONGEST_BACKOFF_SECONDS: Final = 20.0
"""Between two attempts of a client to come back, at the most."""

COMEBACK_SECONDS: Final = LONGEST_BACKOFF_SECONDS + 10.0
"""For which at least everybody keeps its seat after the server has come back: one attempt, and one
more if that one fails at once."""

REST_SECONDS: Final = COMEBACK_SECONDS
"""For which nobody turns the page after the server was killed, unless all are back earlier: whoever
comes back in time also has its say in time."""

LONGEST_TIMER_SECONDS: Final = 4 * 3_600
"""For which a timer of an estimation room may be set."""

VOTING_SECONDS: Final = (5, 3_600)
"""The least and the most for a voting timer that starts by itself."""

ROOM_NAME_LENGTH: Final = 100
"""Characters in what people call a room."""

SHORTEST_PASSCODE: Final = 4
PASSCODE_LENGTH: Final = 64
"""Characters in the passcode of a room."""

MOST_BANS: Final = 500
"""Members that are kept out of one room for good."""

REMOVED_KNOWN: Final = 64
"""Of those who were put out of a room last it is known by whom, for when they come back."""

MOST_CARDS: Final = 30
"""In a deck."""

CARD_LENGTH: Final = 8
"""Characters on a card."""

TICKET_TITLE_LENGTH: Final = 200
"""Characters in the title of a ticket in the backlog."""

TICKET_KEY_LENGTH: Final = 50
"""Characters in what other systems call a ticket, such as SHOP-412."""

TICKET_LINK_LENGTH: Final = 2_000
"""Characters in a ticket's link: what browsers and proxies pass on everywhere."""

TICKET_DESCRIPTION_LENGTH: Final = 4_000
"""Characters in a ticket's description."""

TICKET_LABEL_LENGTH: Final = 50
"""Characters in a ticket's type, and in its priority."""

BACKLOG_TICKETS: Final = 2_000
"""Tickets in one backlog: as many as one file may bring."""

BACKLOG_BYTES: Final = MIB
"""Of UTF-8 that all texts of a backlog have together: what one file may bring. Without it 2 000
tickets of the longest texts would be 40 MiB in every snapshot. As JSON, where a character is two
bytes at the worst that is one in UTF-8, and with the names of the fields, it is below 2.5 MiB."""

IMPORT_BYTES: Final = MIB
"""In a file that tickets are imported from, or in a list that is pasted."""

IMPORT_COLUMNS: Final = 1_000
"""In such a file. All fields of a large Jira are some hundred columns, as labels, sprints and
comments have as many columns each as the ticket with most of them."""

PAST_ROUNDS: Final = 20
"""Whose figures a room remembers, of whatever tickets, to show them when one is voted on again."""
EARLIER_ROUNDS: Final = 10
"""Of one ticket, that are shown beside its present round."""
