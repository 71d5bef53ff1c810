#!/usr/bin/env python3
"""Records what the simulation's model server answers: query trees of questions.txt, and the catalog.

    record.py SOCKET_DIRECTORY PORT

The server is a throwaway cluster of PostgreSQL 15 with trust authentication and a superuser named postgres; the
database "sim" is made anew. Speaks to it by the helper of querytree's regenerate.py.
"""

import importlib.util
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).parent
SPEC = importlib.util.spec_from_file_location(
    "regenerate", HERE.parents[3] / "querytree" / "testdata" / "regenerate.py"
)
regenerate = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(regenerate)

RELATIONS = """SELECT c.oid, n.nspname, c.relname, c.relkind::text, c.relpersistence::text, a.attnum, a.attname, a.atttypid,
a.atttypmod, a.attgenerated::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE n.nspname = 'public' AND c.relkind = 'r' ORDER BY c.oid, a.attnum"""
FUNCTIONS = """SELECT p.oid, n.nspname, p.proname, p.provolatile::text, p.prosecdef, l.lanname,
(SELECT string_agg(t.typname::text, ',' ORDER BY a.n) FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY a(t, n)
JOIN pg_type t ON t.oid = a.t) FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
JOIN pg_namespace n ON n.oid = p.pronamespace WHERE p.oid IN ({}) ORDER BY p.oid"""


def main(directory, port):
    admin = regenerate.Server(directory, port, "postgres", "postgres")
    admin.query("DROP DATABASE IF EXISTS sim")
    admin.query("CREATE DATABASE sim")
    server = regenerate.Server(directory, port, "postgres", "sim")
    server.query((HERE / "schema.sql").read_text())
    server.query("SET client_min_messages = log; SET debug_pretty_print = off; SET debug_print_rewritten = on")
    trees = [(text, server.tree(text)) for text in (HERE / "questions.txt").read_text().splitlines()]
    server.query("RESET ALL")
    out = "".join(f"=== {text}\n{tree.strip()}\n" for text, tree in trees)
    (HERE / "trees.txt").write_text(out)
    numbers = sorted({int(n) for _, tree in trees for n in re.findall(r"\b\d{2,7}\b", tree)})
    tables = {"relations": RELATIONS, "functions": FUNCTIONS.format(",".join(map(str, numbers)))}
    with (HERE / "catalog.txt").open("w") as catalog:
        for name, query in tables.items():
            catalog.write(f"=== {name}\n")
            for row in server.query(query):
                values = [v.decode() if isinstance(v, bytes) else v for v in row]
                catalog.write("\t".join("" if v is None else v for v in values) + "\n")


main(sys.argv[1], sys.argv[2])
