"""The benchmark: what a round, a connection and a room's end cost, beside a plain asyncio server.

It shares no encoder and no decoder with the server, so that neither flatters the other.
"""
