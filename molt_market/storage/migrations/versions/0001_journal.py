"""The journal of payments."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from molt_market.storage import types

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the change."""
    op.create_table(
        "accounts",
        sa.Column("chain", sa.String(length=100), nullable=False),
        sa.Column("address", sa.String(length=42), nullable=False),
        sa.PrimaryKeyConstraint("chain", "address", name=op.f("pk_accounts")),
        comment="Whose nonces are given out here. Who takes one locks the account's row.",
    )
    op.create_table(
        "dispatches",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("chain", sa.String(length=100), nullable=False),
        sa.Column("sender", sa.String(length=42), nullable=False),
        sa.Column("nonce", sa.BigInteger(), nullable=False),
        sa.Column("call_to", sa.String(length=42), nullable=True),
        sa.Column("call_data", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("since", types.UtcTime(timezone=True), nullable=False),
        sa.Column("mined", sa.String(length=66), nullable=True),
        sa.Column("block", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dispatches")),
        comment="One nonce of an account each; what was signed for it is in transactions.",
    )
    op.create_index(
        "uq_dispatches_nonce",
        "dispatches",
        ["chain", "sender", "nonce"],
        unique=True,
        sqlite_where=sa.text("state <> 'dropped'"),
        postgresql_where=sa.text("state <> 'dropped'"),
    )
    op.create_table(
        "entries",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("chain", sa.String(length=100), nullable=False),
        sa.Column("key", sa.String(length=300), nullable=False),
        sa.Column("deal_id", sa.String(length=66), nullable=True, comment="that it is about"),
        sa.Column("planned_at", types.UtcTime(timezone=True), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("buyer", sa.String(length=42), nullable=True, comment="of an opening"),
        sa.Column("slot", types.Uint(length=78), nullable=True, comment="of an opening: the order's"),
        sa.Column("order_id", sa.String(length=128), nullable=True, comment="of an opening"),
        sa.Column("order", sa.Text(), nullable=True, comment="of an opening: the signed order, as JSON"),
        sa.Column("offer_id", sa.String(length=300), nullable=True, comment="of an opening"),
        sa.Column("dispatch_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column(
            "first_item", sa.Integer(), nullable=False, comment="its first place in the batch that carries it"
        ),
        sa.Column("items", sa.Integer(), nullable=False),
        sa.Column("failure", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["dispatch_id"], ["dispatches.id"], name=op.f("fk_entries_dispatch_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_entries")),
        sa.UniqueConstraint("chain", "key", name=op.f("uq_entries_chain_key")),
        comment="One payment each.",
    )
    op.create_index("ix_entries_buyer", "entries", ["chain", "buyer"], unique=False)
    op.create_index("ix_entries_deal_id", "entries", ["chain", "deal_id"], unique=False)
    op.create_index(op.f("ix_entries_dispatch_id"), "entries", ["dispatch_id"], unique=False)
    op.create_table(
        "transactions",
        sa.Column("dispatch_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column(
            "position", sa.Integer(), nullable=False, comment="0: the first that was signed for the nonce"
        ),
        sa.Column("hash", sa.String(length=66), nullable=False),
        sa.Column("gas", sa.BigInteger(), nullable=False),
        sa.Column("fee_most", types.Uint(length=78), nullable=False, comment="wei for each unit of gas"),
        sa.Column("fee_tip", types.Uint(length=78), nullable=False, comment="wei for each unit of gas"),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.Column("signed_at", types.UtcTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["dispatch_id"], ["dispatches.id"], name=op.f("fk_transactions_dispatch_id")),
        sa.PrimaryKeyConstraint("dispatch_id", "position", name=op.f("pk_transactions")),
    )
    op.create_index(op.f("ix_transactions_hash"), "transactions", ["hash"], unique=False)


def downgrade() -> None:
    """Take the change back."""
    op.drop_index(op.f("ix_transactions_hash"), table_name="transactions")
    op.drop_table("transactions")
    op.drop_index(op.f("ix_entries_dispatch_id"), table_name="entries")
    op.drop_index("ix_entries_deal_id", table_name="entries")
    op.drop_index("ix_entries_buyer", table_name="entries")
    op.drop_table("entries")
    op.drop_index(
        "uq_dispatches_nonce",
        table_name="dispatches",
        sqlite_where=sa.text("state <> 'dropped'"),
        postgresql_where=sa.text("state <> 'dropped'"),
    )
    op.drop_table("dispatches")
    op.drop_table("accounts")
