"""The bots of ``parley.v1``: seats that outlive connections and servers, put to the test."""
