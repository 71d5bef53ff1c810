"""Python's clients looking around in a database, and working on what an ordinary policy permits.

    look_around.py psycopg|asyncpg|sqlalchemy|django

Where to connect is in the environment, as for libpq. Prints one JSON document, which must be the same past the gateway and
through it: nothing in it is of this connection only.
"""

import asyncio
import io
import json
import os
import ssl
import sys


def text(value):
    """What JSON has no word for, as text."""
    if isinstance(value, dict):
        return {str(key): text(each) for key, each in sorted(value.items(), key=lambda item: str(item[0]))}
    if isinstance(value, (list, tuple)):
        return [text(each) for each in value]
    if isinstance(value, (set, frozenset)):
        return sorted(text(each) for each in value)
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)


def with_psycopg():
    import psycopg
    from psycopg.types import TypeInfo
    from psycopg.types.composite import CompositeInfo
    from psycopg.types.enum import EnumInfo
    from psycopg.types.multirange import MultirangeInfo
    from psycopg.types.range import RangeInfo

    found = {}
    with psycopg.connect("", autocommit=True) as connection:
        for kind, name in (
            (TypeInfo, "sales.code"),
            (CompositeInfo, "sales.address"),
            (EnumInfo, "sales.mood"),
            (RangeInfo, "sales.span"),
            (MultirangeInfo, "sales.span_multirange"),
        ):
            info = kind.fetch(connection, name)
            found[name] = [info.name, info.regtype, getattr(info, "field_names", None), getattr(info, "labels", None)]
            info.register(connection)
        found["clerks"] = connection.execute("SELECT id, badge, mood, home, shift, tags, data FROM sales.clerks ORDER BY id LIMIT 3").fetchall()
        found["status"] = connection.info.parameter_status("server_encoding")
        for binary in (False, True):
            cursor = connection.cursor(binary=binary)
            cursor.execute("SELECT id, placed_at, status FROM orders WHERE customer_id = ANY(%s) ORDER BY id", [[1, 2, 3]])
            found[f"orders {binary}"] = [[d.name, d.type_code, d.display_size] for d in cursor.description], cursor.fetchall()
        with connection.transaction():
            with connection.cursor("by_name") as cursor:
                cursor.execute("SELECT id, city FROM customers ORDER BY id")
                found["server-side cursor"] = cursor.fetchmany(3), cursor.fetchmany(2)
            with connection.transaction(force_rollback=True):
                rows = [(1, f"s{n}", "b") for n in range(3)]
                cursor = connection.cursor()
                cursor.executemany(
                    "INSERT INTO tickets (customer_id, subject, body) VALUES (%s, %s, %s) RETURNING subject, status", rows, returning=True
                )
                found["executemany"] = [result.fetchall() for result in cursor.results()]
        with connection.cursor().copy("COPY products TO STDOUT") as copy:
            found["copy"] = [bytes(block).decode() for block in copy]
    return found


async def with_asyncpg():
    import asyncpg

    tls = ssl.create_default_context(cafile=os.environ["PGSSLROOTCERT"])
    where = {"host": os.environ["PGHOST"], "ssl": tls}
    found = {}
    async with asyncpg.create_pool(min_size=1, max_size=2, **where) as pool:
        for _ in range(3):  # each release cleans the connection
            async with pool.acquire() as connection:
                await connection.execute("SET search_path TO sales, public")
                found["version"] = connection.get_server_version()[:2]
                # enum, composite, range, domain, array and jsonb: all are introspected
                rows = await connection.fetch("SELECT id, badge, mood, home, shift, tags, data, '{a,b}'::sales.code[] AS codes, ARRAY[mood] AS moods FROM clerks WHERE id < $1", 4)
                found["clerks"] = [dict(row) for row in rows]
                statement = await connection.prepare("SELECT mood, data FROM clerks WHERE id = $1")
                found["attributes"] = [[a.name, a.type.name, a.type.kind, a.type.schema] for a in statement.get_attributes()]
                found["parameters"] = [parameter.name for parameter in statement.get_parameters()]
                try:
                    await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads)
                    found["codec"] = await connection.fetchval("SELECT data FROM clerks WHERE id = 1")
                    await connection.set_builtin_type_codec("mood", schema="sales", codec_name="text")
                except Exception as error:  # what it says is compared
                    found["codec error"] = repr(error)
                async with connection.transaction(isolation="repeatable_read", readonly=True):
                    cursor = await connection.cursor("SELECT id FROM customers ORDER BY id")
                    found["cursor"] = [row["id"] for row in await cursor.fetch(3)]
                out = io.BytesIO()
                found["copied"] = await connection.copy_from_query("SELECT id, city FROM customers ORDER BY id LIMIT $1", 2, output=out, format="csv")
                found["copy"] = out.getvalue().decode()
        async with pool.acquire() as connection:
            transaction = connection.transaction()
            await transaction.start()
            await connection.executemany("INSERT INTO tickets (customer_id, subject, body) VALUES ($1, $2, $3)", [(1, "s", "b"), (2, "t", "c")])
            found["copy in"] = await connection.copy_records_to_table("tickets", records=[(1, "u", "d")], columns=["customer_id", "subject", "body"])
            found["inserted"] = await connection.fetch("SELECT customer_id, subject, status FROM tickets WHERE body IN ('b', 'c', 'd') ORDER BY 2")
            found["inserted"] = [dict(row) for row in found["inserted"]]
            await transaction.rollback()
    return found


def with_sqlalchemy():
    import warnings

    import sqlalchemy as sa
    from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

    warnings.simplefilter("ignore", sa.exc.SAWarning)
    found = {}
    for driver in ("psycopg", "asyncpg"):
        engine = connectable(driver)
        inspector = sa.inspect(engine) if driver == "psycopg" else None
        if inspector:
            found.update(inspected(inspector))
            for schema in (None, "sales"):
                metadata = sa.MetaData()
                metadata.reflect(engine, schema=schema, views=True)
                found[f"reflected {schema}"] = {
                    name: [described(column) for column in table.columns] + sorted(repr(each) for each in table.foreign_keys)
                    for name, table in metadata.tables.items()
                }
        else:
            found["asyncpg"] = asyncio.run(over_asyncpg(engine))

    class Base(DeclarativeBase):
        pass

    class Customer(Base):
        __tablename__ = "customers"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]
        city: Mapped[str]
        orders: Mapped[list["Order"]] = relationship(back_populates="customer", order_by="Order.id")

    class Order(Base):
        __tablename__ = "orders"
        id: Mapped[int] = mapped_column(primary_key=True)
        customer_id: Mapped[int] = mapped_column(sa.ForeignKey("customers.id"))
        status: Mapped[str]
        customer: Mapped[Customer] = relationship(back_populates="orders")

    class Ticket(Base):
        __tablename__ = "tickets"
        id: Mapped[int] = mapped_column(primary_key=True)
        customer_id: Mapped[int] = mapped_column(sa.ForeignKey("customers.id"))
        subject: Mapped[str]
        body: Mapped[str]

    with Session(connectable("psycopg")) as session:
        eager = sa.select(Customer).options(sa.orm.selectinload(Customer.orders)).order_by(Customer.id).limit(3)
        found["orm"] = [[c.name, [[o.id, o.status] for o in c.orders]] for c in session.scalars(eager)]
        joined = sa.select(Customer).options(sa.orm.joinedload(Customer.orders)).where(Customer.id < 3).order_by(Customer.id)
        found["joined"] = [[c.name, len(c.orders)] for c in session.scalars(joined).unique()]
        found["grouped"] = session.execute(sa.select(Order.status, sa.func.count()).group_by(Order.status).order_by(Order.status)).all()
        session.add_all([Ticket(customer_id=n, subject="from the orm", body="b") for n in (1, 2)])
        session.flush()
        session.execute(sa.update(Ticket).where(Ticket.subject == "from the orm").values(body="c"))
        found["written"] = session.execute(sa.select(Ticket.customer_id, Ticket.body).where(Ticket.subject == "from the orm").order_by(Ticket.customer_id)).all()
        session.rollback()
    return found


def described(column):
    made = column.server_default
    default = None if made is None else str(getattr(made, "arg", getattr(made, "sqltext", None)))
    return [column.name, repr(column.type), column.nullable, column.primary_key, column.comment, default]


def connectable(driver):
    import sqlalchemy as sa

    if driver == "psycopg":
        return sa.create_engine("postgresql+psycopg://")
    from sqlalchemy.ext.asyncio import create_async_engine

    tls = ssl.create_default_context(cafile=os.environ["PGSSLROOTCERT"])
    return create_async_engine("postgresql+asyncpg://", connect_args={"host": os.environ["PGHOST"], "ssl": tls})


async def over_asyncpg(engine):
    import sqlalchemy as sa

    async with engine.connect() as connection:
        tables = await connection.run_sync(lambda sync: sa.inspect(sync).get_table_names("sales"))
        rows = (await connection.execute(sa.text("SELECT id, data FROM sales.clerks WHERE id < :most ORDER BY id"), {"most": 3})).all()
    await engine.dispose()
    return tables, [list(row) for row in rows]


def inspected(inspector):
    found = {
        "schemas": inspector.get_schema_names(),
        "default schema": inspector.default_schema_name,
        "has": [inspector.has_table("customers"), inspector.has_table("nothing"), inspector.has_table("clerks", "sales"), inspector.has_sequence("numbers", "sales")],
        "has schema": [inspector.has_schema("sales"), inspector.has_schema("nothing")],
    }
    for schema in ("public", "sales"):
        found[f"all of {schema}"] = {
            "tables": inspector.get_table_names(schema),
            "views": [inspector.get_view_names(schema), inspector.get_materialized_view_names(schema)],
            "foreign tables": inspector.get_foreign_table_names(schema),
            "sequences": inspector.get_sequence_names(schema),
            "enums": inspector.get_enums(schema),
            "domains": inspector.get_domains(schema),
            "columns": inspector.get_multi_columns(schema),
            "keys": inspector.get_multi_pk_constraint(schema),
            "foreign keys": inspector.get_multi_foreign_keys(schema),
            "indexes": inspector.get_multi_indexes(schema),
            "unique": inspector.get_multi_unique_constraints(schema),
            "checks": inspector.get_multi_check_constraints(schema),
            "comments": inspector.get_multi_table_comment(schema),
        }
    found["definition"] = inspector.get_view_definition("busy", "sales")
    found["columns"] = inspector.get_columns("clerks", "sales")
    found["indexes"] = inspector.get_indexes("clerks", "sales")
    return found


def with_django():
    import django
    from django.conf import settings
    from django.core.management import call_command

    class NoMigrations(dict):
        def __contains__(self, _):
            return True

        def __getitem__(self, _):
            return None

    options = {name: os.environ[f"PG{name.upper()}"] for name in ("sslmode", "sslrootcert", "hostaddr")}
    settings.configure(
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.postgresql",
                "NAME": os.environ["PGDATABASE"],
                "USER": os.environ["PGUSER"],
                "PASSWORD": os.environ["PGPASSWORD"],
                "HOST": os.environ["PGHOST"],
                "PORT": os.environ["PGPORT"],
                "OPTIONS": options,
            }
        },
        DEFAULT_AUTO_FIELD="django.db.models.AutoField",
        MIGRATION_MODULES=NoMigrations(),
        USE_TZ=True,
    )
    django.setup()
    from django.db import connection, models, transaction

    found = {}
    for arguments in (["check", "--database", "default"], ["inspectdb"], ["inspectdb", "--include-partitions"], ["showmigrations"]):
        out = io.StringIO()
        call_command(*arguments, stdout=out, stderr=out)
        found[" ".join(arguments)] = out.getvalue()
    with connection.cursor() as cursor:
        introspection = connection.introspection
        found["tables"] = introspection.get_table_list(cursor)
        for table in ("customers", "orders", "order_items"):
            found[table] = {
                "description": introspection.get_table_description(cursor, table),
                "relations": introspection.get_relations(cursor, table),
                "constraints": introspection.get_constraints(cursor, table),
                "sequences": introspection.get_sequences(cursor, table),
            }
    found["version"] = connection.pg_version

    class Customer(models.Model):
        name = models.TextField()
        city = models.TextField()

        class Meta:
            app_label, db_table, managed = "shop", "customers", False

    class Ticket(models.Model):
        customer = models.ForeignKey(Customer, models.DO_NOTHING)
        subject = models.TextField()
        body = models.TextField()
        status = models.TextField(default="open")
        opened_at = models.DateTimeField(auto_now_add=True)

        class Meta:
            app_label, db_table, managed = "shop", "tickets", False

    by_city = Customer.objects.values("city").annotate(n=models.Count("id")).order_by("-n", "city")
    found["by city"] = list(by_city)
    found["icontains"] = list(Customer.objects.filter(name__icontains="a").order_by("id").values_list("name", flat=True)[:3])
    found["related"] = [[t.subject, t.customer.name] for t in Ticket.objects.select_related("customer").order_by("id").only("subject", "customer__name")[:3]]
    found["exists"] = Ticket.objects.filter(customer__city="Nowhere").exists()
    found["iterator"] = [c.pk for c in Customer.objects.only("id").order_by("id").iterator(chunk_size=2)][:5]
    with transaction.atomic():
        Ticket.objects.bulk_create([Ticket(customer_id=1, subject="from django", body=str(n)) for n in range(3)])
        found["updated"] = Ticket.objects.filter(subject="from django").update(status="closed")
        found["in a savepoint"] = Ticket.objects.filter(subject="from django").select_related("customer").values_list("status", "customer__name")[0]
        transaction.set_rollback(True)
    return found


if __name__ == "__main__":
    cases = {
        "psycopg": with_psycopg,
        "asyncpg": lambda: asyncio.run(with_asyncpg()),
        "sqlalchemy": with_sqlalchemy,
        "django": with_django,
    }
    json.dump(text(cases[sys.argv[1]]()), sys.stdout, indent=1)
