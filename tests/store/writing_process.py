"""Puts numbers into the writer and tells which are written; run as a program."""

import sys
from functools import partial

import sqlalchemy as sa
import trio

from server.store.database import Database
from server.store.schema import settings
from server.store.writer import Writer


def put(conn: sa.Connection, key: str) -> None:
    conn.execute(sa.insert(settings).values(key=key, value="x"))


def tell(number: int, written: bool) -> None:
    assert written
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


async def main(url: str) -> None:
    writer = Writer(Database(url))
    async with trio.open_nursery() as nursery:
        await nursery.start(writer.run)
        for number in range(5000):
            told = partial(tell, number)
            writer.put(partial(put, key=f"{number:06}"), settled=told)
            await trio.sleep(0.005)


if __name__ == "__main__":
    trio.run(main, sys.argv[1])
