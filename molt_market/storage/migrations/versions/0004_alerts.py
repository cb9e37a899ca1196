"""Alerts: where they go, and what was delivered."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from molt_market.storage import types

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the change."""
    op.create_table(
        "alert_subscriptions",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("deployment", sa.String(length=150), nullable=False),
        sa.Column("party", sa.String(length=42), nullable=True, comment="whose alerts; null: the operator's"),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("secret", sa.Text(), nullable=False, comment="signs what is sent there"),
        sa.Column("created_at", types.UtcTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert_subscriptions")),
    )
    op.create_index("ix_alert_subscriptions_deployment", "alert_subscriptions", ["deployment"], unique=False)
    op.create_table(
        "alert_deliveries",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("subscription_id", BIG, nullable=False),
        sa.Column("alert_id", sa.String(length=200), nullable=False),
        sa.Column("body", sa.Text(), nullable=False, comment="as it was found first, and is signed"),
        sa.Column("state", sa.String(length=16), nullable=False, comment="waiting, delivered, given_up"),
        sa.Column("attempts", sa.Integer(), nullable=False, comment="that were made"),
        sa.Column("due_at", types.UtcTime(timezone=True), nullable=False, comment="not before this"),
        sa.Column("holder", sa.String(length=32), nullable=True, comment="who is at it"),
        sa.Column(
            "held_until",
            types.UtcTime(timezone=True),
            nullable=True,
            comment="nobody else takes it before this",
        ),
        sa.Column("created_at", types.UtcTime(timezone=True), nullable=False),
        sa.Column(
            "ended_at",
            types.UtcTime(timezone=True),
            nullable=True,
            comment="when it was delivered, or given up",
        ),
        sa.Column("failure", sa.Text(), nullable=True, comment="of the last attempt"),
        sa.ForeignKeyConstraint(
            ["subscription_id"],
            ["alert_subscriptions.id"],
            name=op.f("fk_alert_deliveries_subscription_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert_deliveries")),
        sa.UniqueConstraint(
            "subscription_id", "alert_id", name=op.f("uq_alert_deliveries_subscription_id_alert_id")
        ),
        comment="Each alert once for each subscription. Who takes one holds it for a while.",
    )
    op.create_index("ix_alert_deliveries_due_at", "alert_deliveries", ["state", "due_at"], unique=False)


def downgrade() -> None:
    """Take the change back."""
    op.drop_index("ix_alert_deliveries_due_at", table_name="alert_deliveries")
    op.drop_table("alert_deliveries")
    op.drop_index("ix_alert_subscriptions_deployment", table_name="alert_subscriptions")
    op.drop_table("alert_subscriptions")
