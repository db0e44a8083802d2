"""A client for the terminal: ``parley create`` and ``parley join``. Needs nothing of the server."""
