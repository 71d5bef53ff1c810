"""Statements that are held, by psycopg: each line that is printed says what became of one. A line on standard input lets it go on."""

import threading

import psycopg


def say(*words):
    print(*words, flush=True)


def attempt(connection, id, **how):
    try:
        say("ran", connection.execute("DELETE FROM tickets WHERE id = %s", (id,), **how).rowcount)
    except psycopg.Error as error:
        say("refused", error.sqlstate, error.diag.message_primary)


with psycopg.connect(autocommit=True) as connection:
    connection.add_notice_handler(lambda notice: say("told", notice.sqlstate))
    attempt(connection, 1)
    attempt(connection, 2)
    # As soon as it is told that it waits, in another thread, as cancel() is meant.
    connection.add_notice_handler(lambda notice: threading.Thread(target=connection.cancel).start())
    attempt(connection, 2, prepare=True)
    say("goes on", connection.execute("SELECT 1").fetchone()[0])

with psycopg.connect(autocommit=True, options="-c gatepost.approval=async") as connection:
    attempt(connection, 3)
    input()
    attempt(connection, 3)
