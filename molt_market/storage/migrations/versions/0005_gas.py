"""Gas that is paid for others: budgets, and what each payment cost."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from molt_market.storage import types

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the change."""
    op.create_table(
        "gas_budgets",
        sa.Column("deployment", sa.String(length=150), nullable=False),
        sa.Column("account", sa.String(length=42), nullable=False),
        sa.Column("period", sa.BigInteger(), nullable=False, comment="that `used` is of"),
        sa.Column("used", types.Uint(length=78), nullable=False, comment="wei: paid or reserved"),
        sa.PrimaryKeyConstraint("deployment", "account", name=op.f("pk_gas_budgets")),
        comment="Who reserves or spends locks the account's row.",
    )
    op.create_table(
        "gas_charges",
        sa.Column("deployment", sa.String(length=150), nullable=False),
        sa.Column("key", sa.String(length=300), nullable=False, comment="of the payment"),
        sa.Column("account", sa.String(length=42), nullable=False),
        sa.Column("period", sa.BigInteger(), nullable=False),
        sa.Column(
            "reserved",
            types.Uint(length=78),
            nullable=False,
            comment="wei; 0: it is settled, or given back",
        ),
        sa.Column("paid", types.Uint(length=78), nullable=False, comment="wei in all, by the receipts"),
        sa.Column(
            "holder",
            sa.String(length=32),
            nullable=True,
            comment="who reserved it; null: nothing is reserved",
        ),
        sa.Column(
            "settled_by",
            sa.String(length=66),
            nullable=True,
            comment="the transaction whose cost is in `paid`",
        ),
        sa.PrimaryKeyConstraint("deployment", "key", name=op.f("pk_gas_charges")),
        comment="What each payment cost that was made for another account.",
    )
    op.create_index(
        "ix_gas_charges_account", "gas_charges", ["deployment", "account", "holder"], unique=False
    )


def downgrade() -> None:
    """Take the change back."""
    op.drop_index("ix_gas_charges_account", table_name="gas_charges")
    op.drop_table("gas_charges")
    op.drop_table("gas_budgets")
