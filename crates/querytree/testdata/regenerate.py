#!/usr/bin/env python3
"""Asks a real server for the trees of all statements in cases/, and writes them to trees/MAJOR.txt.

    regenerate.py SOCKET_DIRECTORY PORT

The server is a throwaway cluster of any supported version, with trust authentication over a unix socket and a
superuser named postgres; the database "querytree" and the roles of schema.sql are dropped and made anew. Each
statement goes to the server as a Parse message of the extended protocol, which executes nothing. Nothing but the
standard library is needed. Afterwards run the tests with QUERYTREE_BLESS=1 and read what changed in cases/.
"""

import pathlib
import re
import socket
import struct
import sys

HERE = pathlib.Path(__file__).parent


class Server:
    """Just enough of protocol 3.0."""

    def __init__(self, directory, port, user, database):
        self.buffer = b""
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(f"{directory}/.s.PGSQL.{port}")
        parameters = {"user": user, "database": database, "client_encoding": "UTF8"}
        body = b"\0\3\0\0" + b"".join(f"{k}\0{v}\0".encode() for k, v in parameters.items()) + b"\0"
        self.socket.sendall(struct.pack("!I", len(body) + 4) + body)
        self.answers()

    def send(self, kind, body):
        self.socket.sendall(kind + struct.pack("!I", len(body) + 4) + body)

    def message(self):
        while len(self.buffer) < 5 or len(self.buffer) <= struct.unpack("!I", self.buffer[1:5])[0]:
            received = self.socket.recv(1 << 16)
            if not received:
                raise EOFError
            self.buffer += received
        end = 1 + struct.unpack("!I", self.buffer[1:5])[0]
        kind, body, self.buffer = self.buffer[:1], self.buffer[5:end], self.buffer[end:]
        return kind, body

    def answers(self):
        """Returns data rows and notices up to ReadyForQuery; raises the first error."""
        rows, notices, error = [], [], None
        while True:
            kind, body = self.message()
            if kind == b"D":
                rows.append(row(body))
            elif kind in b"NE":
                fields = {part[:1]: part[1:].decode() for part in body.split(b"\0") if part}
                if kind == b"N":
                    notices.append(fields)
                else:
                    error = error or fields
            elif kind == b"Z":
                if error:
                    raise RuntimeError(f"{error[b'C']}: {error[b'M']}")
                return rows, notices

    def query(self, sql):
        self.send(b"Q", sql.encode() + b"\0")
        return self.answers()[0]

    def tree(self, sql):
        self.send(b"P", b"\0" + sql.encode() + b"\0\0\0")
        self.send(b"S", b"")
        notices = self.answers()[1]
        (tree,) = [n[b"D"] for n in notices if n[b"M"].startswith("rewritten parse tree")]
        return tree


def row(body):
    values, at = [], 2
    for _ in range(struct.unpack("!H", body[:2])[0]):
        (length,) = struct.unpack("!i", body[at : at + 4])
        at += 4
        values.append(None if length < 0 else body[at : at + length].decode())
        at += max(length, 0)
    return values


def schema(major):
    for statement in re.split(r"(?<=;)\n", (HERE / "schema.sql").read_text()):
        since = re.search(r"^-- from (\d+)$", statement, re.M)
        if statement.strip() and not (since and int(since[1]) > major):
            yield statement


def cases(major):
    for path in sorted((HERE / "cases").glob("*.txt")):
        for case in re.split(r"^=== ", path.read_text(), flags=re.M)[1:]:
            head, body = case.split("\n", 1)
            name, since = re.fullmatch(r"(\w+)(?: from (\d+))?", head).groups()
            if int(since or 0) <= major:
                yield name, re.split(r"^---.*$", body, maxsplit=1, flags=re.M)[0].strip("\n")


NAMES = {
    "relation": (r":relid (\d+)", "SELECT oid, relname FROM pg_class WHERE oid = ANY ('{%s}')"),
    "column": (r":relid (\d+)", "SELECT attrelid || ' ' || attnum, attname FROM pg_attribute WHERE NOT attisdropped AND attrelid = ANY ('{%s}')"),
    "function": (r":(?:funcid|opfuncid|hashfuncid|negfuncid|aggfnoid|winfnoid|tsmhandler|\w+InRangeFunc) (\d+)", "SELECT oid, oid::regprocedure FROM pg_proc WHERE oid = ANY ('{%s}')"),
    "operator": (r":(?:opno|eqop|sortop|\w+_neop) (\d+)", "SELECT oid, oid::regoperator FROM pg_operator WHERE oid = ANY ('{%s}')"),
    "type": (r":\w*typ\w* (\d+)", "SELECT oid, format_type(oid, NULL) FROM pg_type WHERE oid = ANY ('{%s}')"),
    "role": (r":checkAsUser (\d+)", "SELECT oid, rolname FROM pg_roles WHERE oid = ANY ('{%s}')"),
    "sequence": (r":seqid (\d+)", "SELECT oid, relname FROM pg_class WHERE oid = ANY ('{%s}')"),
}


def main(directory, port):
    admin = Server(directory, port, "postgres", "postgres")
    major = int(admin.query("SHOW server_version_num")[0][0]) // 10000
    admin.query("DROP DATABASE IF EXISTS querytree")
    for role in ("agent", "owner"):
        admin.query(f"DROP ROLE IF EXISTS {role}")
    admin.query("CREATE DATABASE querytree TEMPLATE template0 ENCODING 'UTF8'")
    admin = Server(directory, port, "postgres", "querytree")
    for statement in schema(major):
        admin.query(statement)
    agent = Server(directory, port, "agent", "querytree")
    for setting in ("client_min_messages = log", "debug_print_rewritten = on", "debug_pretty_print = off"):
        agent.query(f"SET {setting}")
    trees = []
    for name, statement in cases(major):
        try:
            trees.append((name, agent.tree(statement)))
        except RuntimeError as error:
            sys.exit(f"{name}: {error}")
    everything = "\n".join(tree.replace("\n", " ") for _, tree in trees)
    with open(HERE / "trees" / f"{major}.txt", "w", encoding="utf-8") as out:
        for kind, (pattern, query) in NAMES.items():
            oids = ",".join(sorted(set(re.findall(pattern, everything)), key=int))
            for oid, name in sorted(admin.query(query % oids)):
                out.write(f"{kind} {oid} {name}\n".replace("\n", "\\n", name.count("\n")))
        for name, tree in trees:
            out.write(f"=== {name}\n{tree}")


if __name__ == "__main__":
    main(*sys.argv[1:])
