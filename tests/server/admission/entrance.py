"""What stands between the door and the rooms, made for a test."""

import attrs

from server.admission.allowances import Allowances
from server.admission.members import Members
from server.auth.proxies import Proxies
from server.auth.sources import Sources
from server.edge.heartbeat import Heartbeat
from server.edge.places import Places
from server.edge.poller import Poller
from server.rooms.hub import Hub
from server.support.counters import Counters
from server.support.limits import Limits


@attrs.define
class Entrance:
    """The places, the allowances, and the members made by them."""

    places: Places
    sources: Sources
    allowances: Allowances
    members: Members


def make_entrance(
    *,
    limits: Limits,
    counters: Counters,
    poller: Poller | None = None,
    heartbeat: Heartbeat | None = None,
    hub: Hub | None = None,
    sources: Sources | None = None,
) -> Entrance:
    places = Places(most=limits.connections, limits=limits)
    allowances = Allowances(limits, is_live=lambda room_id: bool(hub and hub.find(room_id)))
    members = Members(
        allowances=allowances,
        places=places,
        limits=limits,
        poller=poller,
        heartbeat=heartbeat
        or Heartbeat(limits.heartbeat_seconds, limits.heartbeat_timeout_seconds),
        counters=counters,
    )
    return Entrance(places, sources or Sources(Proxies()), allowances, members)
