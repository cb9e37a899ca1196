"""The tables. After a change: a new file in migrations/versions (a test compares them).

A chain is written `<chain id>:<hash of its first block>`: a local chain that starts anew is another one.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from molt_market.storage.types import Uint, UtcTime

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

CHAIN = String(100)
ADDRESS = String(42)
HASH = String(66)
BIG = BigInteger().with_variant(Integer(), "sqlite")  # only INTEGER counts itself up there

# ---------------------------------------------------------------- the journal of payments

accounts = Table(
    "accounts",
    metadata,
    Column("chain", CHAIN, primary_key=True),
    Column("address", ADDRESS, primary_key=True),
    comment="Whose nonces are given out here. Who takes one locks the account's row.",
)

dispatches = Table(
    "dispatches",
    metadata,
    Column("id", BIG, primary_key=True, autoincrement=True),
    Column("chain", CHAIN, nullable=False),
    Column("sender", ADDRESS, nullable=False),
    Column("nonce", BigInteger, nullable=False),
    Column("call_to", ADDRESS),
    Column("call_data", LargeBinary, nullable=False),
    Column("state", String(16), nullable=False),
    Column("since", UtcTime, nullable=False),
    Column("mined", HASH),
    Column("block", BigInteger),
    Index(
        "uq_dispatches_nonce",
        "chain",
        "sender",
        "nonce",
        unique=True,
        sqlite_where=text("state <> 'dropped'"),
        postgresql_where=text("state <> 'dropped'"),
    ),
    comment="One nonce of an account each; what was signed for it is in transactions.",
)

transactions = Table(
    "transactions",
    metadata,
    Column("dispatch_id", BIG, ForeignKey("dispatches.id"), primary_key=True),
    Column("position", Integer, primary_key=True, comment="0: the first that was signed for the nonce"),
    Column("hash", HASH, nullable=False, index=True),
    Column("gas", BigInteger, nullable=False),
    Column("fee_most", Uint, nullable=False, comment="wei for each unit of gas"),
    Column("fee_tip", Uint, nullable=False, comment="wei for each unit of gas"),
    Column("raw", LargeBinary, nullable=False),
    Column("signed_at", UtcTime, nullable=False),
)

entries = Table(
    "entries",
    metadata,
    Column("id", BIG, primary_key=True, autoincrement=True),
    Column("chain", CHAIN, nullable=False),
    Column("key", String(300), nullable=False),
    Column("deal_id", HASH, comment="that it is about"),
    Column("planned_at", UtcTime, nullable=False),
    Column("note", Text, nullable=False),
    Column("buyer", ADDRESS, comment="of an opening"),
    Column("slot", BigInteger, comment="of an opening: the order's"),
    Column("order_id", String(128), comment="of an opening"),
    Column("order", Text, comment="of an opening: the signed order, as JSON"),
    Column("offer_id", String(300), comment="of an opening"),
    Column("dispatch_id", BIG, ForeignKey("dispatches.id"), index=True),
    Column("first_item", Integer, nullable=False, comment="its first place in the batch that carries it"),
    Column("items", Integer, nullable=False),
    Column("failure", Text),
    UniqueConstraint("chain", "key"),
    Index("ix_entries_buyer", "chain", "buyer"),
    Index("ix_entries_deal_id", "chain", "deal_id"),
    comment="One payment each.",
)
