"""Statements that are held, by asyncpg: each line that is printed says what became of one. A line on standard input lets it go on."""

import asyncio

import asyncpg


def say(*words):
    print(*words, flush=True)


async def attempt(connection, id, **how):
    try:
        say("ran", await connection.execute("DELETE FROM tickets WHERE id = $1", id, **how))
    except asyncpg.PostgresError as error:
        say("refused", error.sqlstate, str(error).splitlines()[0])
    except (TimeoutError, asyncio.TimeoutError):
        say("timed out")
    except asyncio.CancelledError:
        say("cancelled")


async def main():
    connection = await asyncpg.connect(host="127.0.0.1", ssl=False)
    told = asyncio.Event()

    def listen(_, notice):
        say("told", notice.sqlstate)
        told.set()

    connection.add_log_listener(listen)
    await attempt(connection, 1)
    await attempt(connection, 2)
    told.clear()
    task = asyncio.create_task(attempt(connection, 2))
    await told.wait()
    task.cancel()
    await task
    await attempt(connection, 2, timeout=1)
    say("goes on", await connection.fetchval("SELECT 1"))
    await connection.close()
    settings = {"gatepost.approval": "async"}
    connection = await asyncpg.connect(host="127.0.0.1", ssl=False, server_settings=settings)
    await attempt(connection, 3)
    await asyncio.to_thread(input)
    await attempt(connection, 3)
    await connection.close()


asyncio.run(main())
