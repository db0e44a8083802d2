"""``scripts/bench http``: how long a page of a big timeline takes, on a server of its own."""

import sys

from scripts.benchlib.server import Kind, NotStarted, running, share_out
from scripts.botlib.cli import main as bots


def main() -> int:
    """Start a server on an empty database, fill that, and ask for pages.

    Returns:
        0 if 99 % of the pages came in time, else 1.
    """
    try:
        with running(Kind.PARLEY, share_out()) as server:
            url = f"http://127.0.0.1:{server.port}"
            where = ["--url", url, "--measure-timeline", str(server.database)]
            return bots(["social", *where, *sys.argv[1:]])
    except NotStarted as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
