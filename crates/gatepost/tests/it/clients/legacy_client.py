"""psycopg and asyncpg as legacy applications have them: a user, a password, and nothing new but the host.

    legacy_client.py QUERY

Prints one JSON document: what each way of connecting came to.
"""

import asyncio
import json
import os
import ssl
import sys

import asyncpg
import psycopg


def by_psycopg(sql, **options):
    try:
        with psycopg.connect("", **options) as connection:
            return connection.execute(sql).fetchone()[0]
    except psycopg.Error as error:
        return {"sqlstate": error.sqlstate, "message": str(error).strip()}


async def by_asyncpg(sql):
    context = ssl.create_default_context(cafile=os.environ["PGSSLROOTCERT"])
    connection = await asyncpg.connect(
        host="localhost", port=int(os.environ["PGPORT"]), user=os.environ["PGUSER"],
        password=os.environ["PGPASSWORD"], database=os.environ["PGDATABASE"], ssl=context,
    )
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


sql = sys.argv[1]
print(json.dumps({
    "bound": by_psycopg(sql, channel_binding="require"),
    "unbound": by_psycopg(sql, channel_binding="disable"),
    "scram": by_psycopg(sql, require_auth="scram-sha-256"),
    "clear": by_psycopg(sql, require_auth="password"),
    "asyncpg": asyncio.run(by_asyncpg(sql)),
}))
