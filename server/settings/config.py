"""Settings: all that an operator decides, with every default that is not a limit."""

from typing import Literal

import attrs

from server.auth.proxies import Network, Secure
from server.auth.tokens import LIFETIME
from server.support.limits import DAY, Limits
from server.support.observe import Format, Level

Command = Literal["serve", "db upgrade", "db current", "db backup"]


@attrs.frozen(kw_only=True)
class Settings:
    """All that an operator decides; the defaults stand here and in :class:`Limits` alone."""

    command: Command = "serve"
    backup_file: str | None = None
    """The new file that ``db backup`` writes; ``None`` for other commands."""
    host: str = "0.0.0.0"  # noqa: S104 - a team dials in from other machines
    """Address to listen on; empty for all of IPv4 and IPv6."""
    port: int = 8080
    """TCP port, 0 for any free one."""
    log_level: Level = "info"
    log_format: Format = "text"
    echo: bool = False
    """Serve the diagnostic route ``/ws/echo``."""
    database_url: str = "sqlite:///parley.db"
    token_days: float = LIFETIME / DAY
    """Days after its last use at which a login ends."""
    secure_cookies: Secure = "auto"
    trusted_proxy: tuple[Network, ...] = ()
    """Whose forwarded headers are believed."""
    webhook_url: str = attrs.field(default="", repr=False)
    """Where the events of all rooms that outlive the server are told; empty for nowhere."""
    webhook_secret: str = attrs.field(default="", repr=False)
    """By which they are signed."""
    webhook_allow_private: tuple[Network, ...] = ()
    """Networks in which receivers of webhooks may be although they are not public."""
    limits: Limits = attrs.Factory(Limits)
    unknown_variables: tuple[str, ...] = ()
    """Names in the environment that look like ours and are not: worth a warning."""
