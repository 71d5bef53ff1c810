"""psycopg with what a test asks of it; where to connect is in the environment, as for every libpq client.

    psycopg_client.py CASE [ARGUMENT]...

Prints one JSON document.
"""

import ctypes
import glob
import json
import os
import sys
import threading

import psycopg


def connect(**options):
    return psycopg.connect("", autocommit=True, **options)


def text(value):
    return value if value is None or isinstance(value, (int, str, list)) else str(value)


def rows(cursor):
    return [[text(value) for value in row] for row in cursor.fetchall()]


def failure(error):
    d = error.diag
    return {
        "severity": d.severity,
        "sqlstate": d.sqlstate,
        "message": d.message_primary,
        "detail": d.message_detail,
        "hint": d.message_hint,
    }


def query(sql, *options):
    """Runs one statement in text and in binary format, `options` being those of the connection."""
    with connect(**dict(option.split("=", 1) for option in options)) as connection:
        found = {
            "libpq": psycopg.pq.version(),
            "protocol": connection.pgconn.full_protocol_version,
            "tls": connection.pgconn.ssl_in_use,
        }
        for form in ("text", "binary"):
            cursor = connection.cursor(binary=form == "binary")
            found[form] = rows(cursor.execute(sql))
            found[form + "_format"] = cursor.pgresult.fformat(0)
        return found


def refused(sql):
    """Runs a statement that is refused: alone, in a transaction, and in the middle of a pipeline."""
    found = {}
    with connect() as connection:
        try:
            connection.execute(sql)
        except psycopg.Error as error:
            found["alone"] = failure(error)
        found["alone_status"] = connection.info.transaction_status.name
        try:
            with connection.transaction():
                connection.execute("SELECT 1")
                try:
                    connection.execute(sql)
                except psycopg.Error as error:
                    found["inside"] = failure(error)
                found["inside_status"] = connection.info.transaction_status.name
                connection.execute("SELECT 1")
        except psycopg.Error as error:
            found["after_inside"] = error.sqlstate
        with connection.pipeline() as pipeline:
            first = connection.execute("SELECT 'first'")
            middle = connection.execute(sql)
            last = connection.execute("SELECT 'last'")
            try:
                pipeline.sync()
            except psycopg.Error as error:
                found["pipeline"] = failure(error)
            found["first"] = rows(first)
            for name, cursor in (("middle", middle), ("last", last)):
                found[name] = cursor.pgresult.status if cursor.pgresult else None
        found["pipeline_status"] = connection.info.transaction_status.name
        found["goes_on"] = rows(connection.execute("SELECT 'goes on'"))
    return found


def cancel(*options):
    """Cancels what a connection runs, from another thread, as libpq does it."""
    with connect(**dict(option.split("=", 1) for option in options)) as connection, connect() as watcher:
        pid = connection.info.backend_pid
        own = connection.execute("SELECT pg_backend_pid()").fetchone()[0]

        def when_running():
            while watcher.execute(
                "SELECT state FROM pg_stat_activity WHERE pid = %s AND query LIKE '%%pg_sleep%%'", [pid]
            ).fetchone() != ("active",):
                pass
            connection.cancel_safe()

        thread = threading.Thread(target=when_running)
        thread.start()
        try:
            connection.execute("SELECT pg_sleep(60)")
            outcome = "ran to its end"
        except psycopg.Error as error:
            outcome = error.sqlstate
        thread.join()
        return {
            "sqlstate": outcome,
            "pid_is_the_servers": pid == own,
            "protocol": connection.pgconn.full_protocol_version,
            "goes_on": rows(connection.execute("SELECT 1")),
        }


def listen():
    with connect() as listener, connect() as notifier:
        listener.execute("LISTEN shop_events")
        notifier.execute("NOTIFY shop_events, 'from another'")
        listener.execute("NOTIFY shop_events, 'from itself'")
        return [
            [note.channel, note.payload, note.pid in (listener.info.backend_pid, notifier.info.backend_pid)]
            for note in listener.notifies(timeout=20, stop_after=2)
        ]


def copy_out(sql):
    with connect() as connection, connection.cursor().copy(sql) as copy:
        return [[text(value) for value in row] for row in copy.rows()]


def copy_in(sql, *lines):
    with connect() as connection:
        cursor = connection.cursor()
        with cursor.copy(sql) as copy:
            for line in lines:
                copy.write(line + "\n")
        return cursor.statusmessage


class _BearerRequest(ctypes.Structure):
    """PGoauthBearerRequest (libpq-fe.h of PostgreSQL 18)."""


_BearerRequest._fields_ = [
    ("openid_configuration", ctypes.c_char_p),
    ("scope", ctypes.c_char_p),
    ("async_", ctypes.c_void_p),
    ("cleanup", ctypes.c_void_p),
    ("token", ctypes.c_char_p),
    ("user", ctypes.c_void_p),
]


def oauthbearer(issuer, token, *sql):
    """Logs in by OAUTHBEARER; libpq asks our hook for the token, after the server has told it where to get one."""
    root = os.path.join(os.path.dirname(os.path.dirname(psycopg.__file__)), "psycopg_binary.libs")
    libpq = ctypes.CDLL(glob.glob(os.path.join(root, "libpq-*"))[0])
    asked = []
    kept = ctypes.create_string_buffer(token.encode())

    @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
    def hook(kind, _connection, data):
        if kind != 1:  # PQAUTHDATA_OAUTH_BEARER_TOKEN
            return 0
        request = ctypes.cast(data, ctypes.POINTER(_BearerRequest)).contents
        asked.append([value and value.decode() for value in (request.openid_configuration, request.scope)])
        request.token = ctypes.cast(kept, ctypes.c_char_p)
        return 1

    libpq.PQsetAuthDataHook(hook)
    found = {"asked": asked}
    try:
        with connect(oauth_issuer=issuer, oauth_client_id="tests", require_auth="oauth") as connection:
            found["rows"] = [rows(connection.execute(each)) for each in sql]
    except psycopg.Error as error:
        found["error"] = str(error)
    return found


if __name__ == "__main__":
    cases = {
        "query": query,
        "refused": refused,
        "cancel": cancel,
        "listen": listen,
        "copy_out": copy_out,
        "copy_in": copy_in,
        "oauthbearer": oauthbearer,
    }
    json.dump(cases[sys.argv[1]](*sys.argv[2:]), sys.stdout)
