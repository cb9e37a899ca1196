"""What an attestor has seen: pings, GPUs in use, and what he said of receipts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the change."""
    op.create_table(
        "attestor_pings",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("deployment", sa.String(length=150), nullable=False),
        sa.Column("attestor", sa.String(length=42), nullable=False),
        sa.Column("deal_id", sa.String(length=66), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("nonce", sa.String(length=66), nullable=False),
        sa.Column(
            "answer",
            sa.Text(),
            nullable=True,
            comment="the agent's signed answer, as JSON; null: there was none that counts",
        ),
        sa.Column("failure", sa.Text(), nullable=True, comment="why it was not answered"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attestor_pings")),
        comment="Every ping of each attestor.",
    )
    op.create_index(
        "ix_attestor_pings_deal_id",
        "attestor_pings",
        ["deployment", "attestor", "deal_id", "at"],
        unique=False,
    )
    op.create_table(
        "attestor_devices",
        sa.Column("deployment", sa.String(length=150), nullable=False),
        sa.Column("attestor", sa.String(length=42), nullable=False),
        sa.Column("deal_id", sa.String(length=66), nullable=False),
        sa.Column("uuid", sa.String(length=96), nullable=False),
        sa.Column("first", sa.BigInteger(), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "deployment", "attestor", "deal_id", "uuid", name=op.f("pk_attestor_devices")
        ),
        comment="Which GPU was in which deal, from when to when, by the logs that were judged.",
    )
    op.create_index(
        "ix_attestor_devices_uuid", "attestor_devices", ["deployment", "attestor", "uuid"], unique=False
    )
    op.create_table(
        "attestor_verdicts",
        sa.Column("deployment", sa.String(length=150), nullable=False),
        sa.Column("attestor", sa.String(length=42), nullable=False),
        sa.Column("deal_id", sa.String(length=66), nullable=False),
        sa.Column("digest", sa.String(length=66), nullable=False, comment="what is signed of the receipt"),
        sa.Column("receipt", sa.Text(), nullable=False, comment="the agent's, as JSON"),
        sa.Column(
            "code", sa.String(length=64), nullable=True, comment="why it is not signed; null: it is signed"
        ),
        sa.Column("text", sa.Text(), nullable=False, comment="what was found"),
        sa.Column("judged_at", sa.BigInteger(), nullable=False),
        sa.Column("posted", sa.Boolean(), nullable=False, comment="lies at the market"),
        sa.PrimaryKeyConstraint(
            "deployment", "attestor", "deal_id", "digest", name=op.f("pk_attestor_verdicts")
        ),
        comment="What each attestor says of each receipt, written down before: he signs one of a deal.",
    )
    op.create_index(
        "uq_attestor_verdicts_signed",
        "attestor_verdicts",
        ["deployment", "attestor", "deal_id"],
        unique=True,
        sqlite_where=sa.text("code IS NULL"),
        postgresql_where=sa.text("code IS NULL"),
    )


def downgrade() -> None:
    """Take the change back."""
    op.drop_index("uq_attestor_verdicts_signed", table_name="attestor_verdicts")
    op.drop_table("attestor_verdicts")
    op.drop_index("ix_attestor_devices_uuid", table_name="attestor_devices")
    op.drop_table("attestor_devices")
    op.drop_index("ix_attestor_pings_deal_id", table_name="attestor_pings")
    op.drop_table("attestor_pings")
