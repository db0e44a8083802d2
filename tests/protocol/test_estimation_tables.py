"""The tables by which estimation rooms find what carries out a command: whole, none mixed up."""

from collections.abc import Callable
from typing import get_args, get_type_hints

import pytest

from protocol.estimation import COMMANDS
from protocol.estimation_requests import PAGE_TURNING, REQUESTS
from protocol.journal import LOGGED
from protocol.lasting import DescribeTicket, Request
from protocol.messages import Command
from protocol.refusals import Effects


def test_every_request_has_its_row() -> None:
    # A description is told without anything being changed or remembered.
    assert {*REQUESTS, DescribeTicket} == set(get_args(Request)) > set(PAGE_TURNING)


def test_every_command_that_may_change_a_room_has_its_row() -> None:
    assert set(get_args(Command)) > set(COMMANDS) > LOGGED


@pytest.mark.parametrize(
    ("kind", "carry_out"),
    [*COMMANDS.items(), *REQUESTS.items()],
    ids=lambda each: each.__name__,
)
def test_a_row_has_what_carries_out_its_own_kind(
    kind: type, carry_out: Callable[..., Effects]
) -> None:
    asked = get_type_hints(carry_out)
    wanted = asked.get("command") or asked.get("request")
    assert kind in (get_args(wanted) or {wanted})
