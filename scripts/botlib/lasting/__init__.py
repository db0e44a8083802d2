"""The bots of ``parley.v1``: seats that outlive connections and servers, and what puts them to it."""
