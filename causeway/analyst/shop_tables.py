"""The sample shop's tables, their comments, and how they are filled: a database of its own with a role that only reads.

The role is the second layer of safety (`docs/adr/0025-safe-sql.md`): no privilege to write anywhere, none at all on
the columns that the semantic layer hides, no functions that reach beyond the query, bounded temporary files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql
from pydantic import SecretStr
from sqlalchemy import make_url

from causeway.analyst.shop import SMALL, Batch, generate
from causeway.errors import OperatorError
from causeway.product_sections import AnalystDatabaseSettings

DATABASE = "fernhill_shop"
READER = "causeway_analyst"

_TABLES = """
CREATE TABLE campaigns (
  campaign_id integer PRIMARY KEY, name text NOT NULL, channel text NOT NULL, starts_on date NOT NULL,
  ends_on date NOT NULL, budget numeric(10,2) NOT NULL, discount_percent integer NOT NULL);
CREATE TABLE categories (
  category_id integer PRIMARY KEY, parent_id integer REFERENCES categories, name text NOT NULL);
CREATE TABLE suppliers (
  supplier_id integer PRIMARY KEY, name text NOT NULL, country text NOT NULL, lead_time_days integer NOT NULL,
  contact_email text NOT NULL);
CREATE TABLE products (
  product_id integer PRIMARY KEY, sku text NOT NULL UNIQUE, name text NOT NULL,
  category_id integer NOT NULL REFERENCES categories, supplier_id integer NOT NULL REFERENCES suppliers,
  list_price numeric(10,2) NOT NULL, unit_cost numeric(10,2) NOT NULL, launched_on date NOT NULL,
  is_active boolean NOT NULL, weight_grams integer NOT NULL);
CREATE TABLE price_history (
  product_id integer NOT NULL REFERENCES products, valid_from date NOT NULL, valid_to date,
  price numeric(10,2) NOT NULL, PRIMARY KEY (product_id, valid_from));
CREATE TABLE stock_levels (
  product_id integer NOT NULL REFERENCES products, warehouse text NOT NULL, counted_on date NOT NULL,
  units_on_hand integer NOT NULL, PRIMARY KEY (product_id, warehouse, counted_on));
CREATE TABLE customers (
  customer_id integer PRIMARY KEY, first_name text NOT NULL, last_name text NOT NULL, email text NOT NULL,
  phone text NOT NULL, segment text NOT NULL, signed_up_on date NOT NULL, accepts_marketing boolean NOT NULL,
  campaign_id integer REFERENCES campaigns);
CREATE TABLE addresses (
  address_id integer PRIMARY KEY, customer_id integer NOT NULL REFERENCES customers, street text NOT NULL,
  city text NOT NULL, region text NOT NULL, postal_code text NOT NULL, country text NOT NULL);
CREATE TABLE orders (
  order_id integer PRIMARY KEY, customer_id integer NOT NULL REFERENCES customers, ordered_at timestamptz NOT NULL,
  status text NOT NULL, channel text NOT NULL, campaign_id integer REFERENCES campaigns,
  address_id integer NOT NULL REFERENCES addresses, shipping_fee numeric(10,2) NOT NULL);
CREATE TABLE order_items (
  order_id integer NOT NULL REFERENCES orders, line_number integer NOT NULL,
  product_id integer NOT NULL REFERENCES products, quantity integer NOT NULL, unit_price numeric(10,2) NOT NULL,
  discount_amount numeric(10,2) NOT NULL, PRIMARY KEY (order_id, line_number));
CREATE TABLE payments (
  payment_id integer PRIMARY KEY, order_id integer NOT NULL REFERENCES orders, paid_at timestamptz NOT NULL,
  method text NOT NULL, status text NOT NULL, amount numeric(10,2) NOT NULL);
CREATE TABLE shipments (
  shipment_id integer PRIMARY KEY, order_id integer NOT NULL REFERENCES orders, carrier text NOT NULL,
  shipped_at timestamptz NOT NULL, delivered_at timestamptz);
CREATE TABLE returns (
  return_id integer PRIMARY KEY, order_id integer NOT NULL, line_number integer NOT NULL,
  product_id integer NOT NULL REFERENCES products, returned_at timestamptz NOT NULL, quantity integer NOT NULL,
  reason text NOT NULL, refund_amount numeric(10,2) NOT NULL,
  FOREIGN KEY (order_id, line_number) REFERENCES order_items);
CREATE TABLE reviews (
  review_id integer PRIMARY KEY, product_id integer NOT NULL REFERENCES products,
  customer_id integer NOT NULL REFERENCES customers, rating integer NOT NULL, title text NOT NULL,
  body text NOT NULL, reviewed_at timestamptz NOT NULL);
"""
_COMMENTS = {
    "campaigns": "Marketing campaigns",
    "campaigns.budget": "What it cost, in US dollars",
    "campaigns.channel": "email, social or search",
    "categories": "Product categories, a tree of two levels",
    "categories.parent_id": "The category above; null at the top level",
    "suppliers": "Firms that products are bought from",
    "products": "What the shop sells",
    "products.list_price": "Price today, in US dollars",
    "products.unit_cost": "What one unit costs the shop",
    "products.category_id": "Always a category of the lower level",
    "products.is_active": "Whether it is still sold",
    "price_history": "List prices over time",
    "price_history.valid_to": "Last day of the price; null while it holds",
    "stock_levels": "Units counted on the first of each month in each warehouse",
    "customers": "One row a customer",
    "customers.segment": "consumer, club (members of Fernhill Club) or business",
    "customers.signed_up_on": "Day of the first order",
    "customers.campaign_id": "The campaign that won this customer; null for none",
    "addresses": "Where customers live and orders go",
    "orders": "One row an order",
    "orders.status": "completed, cancelled or processing",
    "orders.channel": "web, app, store or phone",
    "orders.campaign_id": "The campaign whose discount was used; null for none",
    "orders.shipping_fee": "In US dollars; 0 for store orders and those of 75 dollars or more",
    "order_items": "The lines of orders: a product and how many of it",
    "order_items.unit_price": "Price of one unit when it was ordered, before the line's discount",
    "order_items.discount_amount": "Taken off the whole line",
    "payments": "Tries to pay for orders",
    "payments.status": "paid, failed or refunded",
    "shipments": "Parcels; store orders have none",
    "returns": "Order lines that came back, wholly or in part",
    "returns.reason": "What the customer said: too small, too large, changed mind, not as described or defective",
    "reviews": "What customers think of products, 1 to 5 stars",
}
_INDEXES = """
CREATE INDEX ON orders (customer_id); CREATE INDEX ON orders (ordered_at); CREATE INDEX ON order_items (product_id);
CREATE INDEX ON payments (order_id); CREATE INDEX ON shipments (order_id); CREATE INDEX ON returns (product_id);
CREATE INDEX ON returns (order_id); CREATE INDEX ON reviews (product_id); CREATE INDEX ON addresses (customer_id);
"""
HIDDEN = {
    "customers": ("email", "phone"),
    "addresses": ("street",),
    "suppliers": ("contact_email",),
}
"""Columns that the reader has no privilege on."""

_FAR_REACHING = (
    r"^(set_config|pg_sleep.*|pg_notify|lo_.*|lo(get|put)|pg_(try_)?advisory.*|.*_to_xml.*|ts_stat|ts_rewrite|pg_read.*"
    r"|pg_ls.*|pg_stat_file|pg_terminate_backend|pg_cancel_backend|pg_stat_get_activity|pg_export_snapshot|nextval|setval"
    r"|pg_size_.*|pg_(database|relation|table|total_relation|tablespace)_size|pg_get_.*def|pg_show_all_.*|inet_server_.*"
    r"|pg_hba_file_rules|dblink.*|current_setting|pg_current_logfile|pg_log.*|pg_backup.*|repeat|generate_series)$"
)
"""Functions that write, wait, run text as SQL, read files, show the server or make rows from nothing."""
_CATALOGUES = ("pg_authid", "pg_roles", "pg_user", "pg_shadow", "pg_settings", "pg_stat_activity")


def load(administrator: str, *, orders: int = SMALL) -> bool:
    """Make and fill the database on a server; False when it is there. One that was not filled to its end is made anew.

    Args:
        administrator: The SQLAlchemy URL of a superuser's connection to any database of the server.
        orders: How many; `causeway.analyst.shop.SMALL` takes seconds, ``LARGE`` minutes.

    Raises:
        OperatorError: The server refuses it.
    """
    if is_loaded(administrator):
        return False
    with _explained(), psycopg.connect(_conninfo(administrator), autocommit=True) as server:
        name = sql.Identifier(DATABASE)
        server.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))
        server.execute(sql.SQL("CREATE DATABASE {}").format(name))
        _make_reader(server)
        with psycopg.connect(_conninfo(administrator), dbname=DATABASE) as shop:
            _fill(shop, generate(orders))
            _admit_reader(shop)
        server.execute(sql.SQL("COMMENT ON DATABASE {} IS 'complete'").format(name))
    return True


def is_loaded(administrator: str) -> bool:
    """Whether the whole shop is on the server of ``administrator``; raises as `load` does."""
    with _explained(), psycopg.connect(_conninfo(administrator), autocommit=True) as server:
        found = server.execute(
            "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s", [DATABASE]
        )
        return found.fetchone() == ("complete",)


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except psycopg.Error as exc:
        raise OperatorError(f"the sample shop cannot be loaded: {str(exc).splitlines()[0]}") from exc


def reader(administrator: str) -> AnalystDatabaseSettings:
    """How the shop on the server of ``administrator`` is asked."""
    url = make_url(administrator).set(
        drivername="postgresql", username=READER, password=None, database=DATABASE
    )
    return AnalystDatabaseSettings(url=SecretStr(url.render_as_string(hide_password=False)))


def _conninfo(url: str) -> str:
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


def _fill(shop: psycopg.Connection[tuple[object, ...]], batches: Iterable[Batch]) -> None:
    shop.execute("SET LOCAL synchronous_commit = off")
    shop.execute(_TABLES)
    for name, comment in _COMMENTS.items():
        kind = "COLUMN" if "." in name else "TABLE"
        place = sql.SQL(".").join(map(sql.Identifier, name.split(".")))
        shop.execute(sql.SQL(f"COMMENT ON {kind} {{}} IS {{}}").format(place, sql.Literal(comment)))
    with shop.cursor() as cursor:
        for batch in batches:
            for table, rows in batch.items():
                with cursor.copy(sql.SQL("COPY {} FROM STDIN").format(sql.Identifier(table))) as copy:
                    for row in rows:
                        copy.write_row(row)
    shop.execute(_INDEXES)
    shop.execute("ANALYZE")


def _make_reader(server: psycopg.Connection[tuple[object, ...]]) -> None:
    role = sql.Identifier(READER)
    if server.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [READER]).fetchone() is None:
        server.execute(sql.SQL("CREATE ROLE {} LOGIN CONNECTION LIMIT 12").format(role))
    for name, value in (
        ("default_transaction_read_only", "on"),
        ("statement_timeout", "30s"),
        ("idle_in_transaction_session_timeout", "60s"),
        ("temp_file_limit", "512MB"),
        ("work_mem", "16MB"),
    ):
        server.execute(
            sql.SQL("ALTER ROLE {} SET {} = {}").format(role, sql.Identifier(name), sql.Literal(value))
        )
    for row in server.execute("SELECT datname FROM pg_database WHERE datallowconn").fetchall():
        database = sql.Identifier(str(row[0]))
        server.execute(sql.SQL("REVOKE CONNECT, TEMPORARY ON DATABASE {} FROM PUBLIC").format(database))
    server.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(sql.Identifier(DATABASE), role))


def _admit_reader(shop: psycopg.Connection[tuple[object, ...]]) -> None:
    role = sql.Identifier(READER)
    shop.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
    shop.execute(sql.SQL("GRANT USAGE ON SCHEMA public TO {}").format(role))
    columns: dict[str, list[str]] = {}
    for table, column in shop.execute(
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public' ORDER BY ordinal_position"
    ).fetchall():
        if column not in HIDDEN.get(str(table), ()):
            columns.setdefault(str(table), []).append(str(column))
    for table, seen in columns.items():
        listed = sql.SQL(", ").join(map(sql.Identifier, seen))
        shop.execute(sql.SQL("GRANT SELECT ({}) ON {} TO {}").format(listed, sql.Identifier(table), role))
    far = shop.execute(
        "SELECT oid::regprocedure::text FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace AND prokind = 'f'"
        " AND proname ~ %s",
        [_FAR_REACHING],
    ).fetchall()
    for (function,) in far:
        shop.execute(f"REVOKE EXECUTE ON FUNCTION pg_catalog.{function} FROM PUBLIC".encode())
    for name in _CATALOGUES:
        shop.execute(sql.SQL("REVOKE ALL ON {} FROM PUBLIC").format(sql.Identifier("pg_catalog", name)))
