"""The market: what was posted, who holds which GPUs, and the feed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from molt_market.storage import types

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the change."""
    op.create_table(
        "feed",
        sa.Column("deployment", sa.String(length=150), nullable=False),
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("update", sa.Text(), nullable=False, comment="what happened, as JSON"),
        sa.PrimaryKeyConstraint("deployment", "sequence", name=op.f("pk_feed")),
        comment="Every step of the market, without a gap.",
    )
    op.create_table(
        "feeds",
        sa.Column("deployment", sa.String(length=150), nullable=False),
        sa.Column(
            "last", sa.BigInteger(), nullable=False, comment="sequence number; who counts on locks the row"
        ),
        sa.PrimaryKeyConstraint("deployment", name=op.f("pk_feeds")),
    )
    op.create_table(
        "offers",
        sa.Column("deployment", sa.String(length=150), nullable=False),
        sa.Column("offer_id", sa.String(length=66), nullable=False, comment="its EIP-712 hash"),
        sa.Column("provider", sa.String(length=42), nullable=False),
        sa.Column("slot", types.Uint(length=78), nullable=False),
        sa.Column("posted_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("stands", sa.Boolean(), nullable=False, comment="in the book"),
        sa.Column("gpu_model", sa.String(length=100), nullable=False),
        sa.Column("features", sa.BigInteger(), nullable=False, comment="the contract's mask"),
        sa.Column("price_per_gpu_hour", types.Uint(length=78), nullable=False, comment="base units"),
        sa.Column("offer", sa.Text(), nullable=False, comment="the signed offer, as JSON"),
        sa.PrimaryKeyConstraint("deployment", "offer_id", name=op.f("pk_offers")),
    )
    op.create_index("ix_offers_provider", "offers", ["deployment", "provider", "offer_id"], unique=False)
    op.create_index("ix_offers_gpu_model", "offers", ["deployment", "stands", "gpu_model"], unique=False)
    op.create_index("ix_offers_stands", "offers", ["deployment", "stands", "expires_at"], unique=False)
    op.create_table(
        "orders",
        sa.Column("deployment", sa.String(length=150), nullable=False),
        sa.Column("order_id", sa.String(length=66), nullable=False, comment="its EIP-712 hash"),
        sa.Column("buyer", sa.String(length=42), nullable=False),
        sa.Column("slot", types.Uint(length=78), nullable=False),
        sa.Column("posted_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column(
            "rests", sa.Boolean(), nullable=False, comment="waits in the book; else it came for one match"
        ),
        sa.Column(
            "state",
            sa.String(length=16),
            nullable=False,
            comment="pending, matched, opened, cancelled, expired",
        ),
        sa.Column("order", sa.Text(), nullable=False, comment="the signed order, as JSON"),
        sa.PrimaryKeyConstraint("deployment", "order_id", name=op.f("pk_orders")),
    )
    op.create_index("ix_orders_buyer", "orders", ["deployment", "buyer", "order_id"], unique=False)
    op.create_index("ix_orders_state", "orders", ["deployment", "state", "expires_at"], unique=False)
    op.create_index(
        "uq_orders_slot",
        "orders",
        ["deployment", "buyer", "slot"],
        unique=True,
        sqlite_where=sa.text("state IN ('matched', 'opened')"),
        postgresql_where=sa.text("state IN ('matched', 'opened')"),
    )
    op.create_table(
        "pools",
        sa.Column("deployment", sa.String(length=150), nullable=False),
        sa.Column("provider", sa.String(length=42), nullable=False),
        sa.Column("slot", types.Uint(length=78), nullable=False),
        sa.Column(
            "held", sa.BigInteger(), nullable=False, comment="GPUs, by reservations and by locked deals"
        ),
        sa.PrimaryKeyConstraint("deployment", "provider", "slot", name=op.f("pk_pools")),
        comment="The GPUs that the offers of one slot share. Who takes some changes `held` if they are free.",
    )
    op.create_table(
        "reservations",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("deployment", sa.String(length=150), nullable=False),
        sa.Column(
            "deal_id", sa.String(length=66), nullable=False, comment="of the deal that the match opens"
        ),
        sa.Column("order_id", sa.String(length=66), nullable=False),
        sa.Column(
            "offer_id", sa.String(length=66), nullable=True, comment="unknown of a deal that came another way"
        ),
        sa.Column("buyer", sa.String(length=42), nullable=False),
        sa.Column("provider", sa.String(length=42), nullable=False),
        sa.Column("slot", types.Uint(length=78), nullable=False),
        sa.Column("gpu_count", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.Column(
            "state",
            sa.String(length=16),
            nullable=False,
            comment="held, opened, freed, released, lapsed, cancelled",
        ),
        sa.Column("opened_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reservations")),
        sa.UniqueConstraint("deployment", "deal_id", name=op.f("uq_reservations_deployment_deal_id")),
        comment="Who holds, or held, which GPUs: one row for each deal that a match was to open.",
    )
    op.create_index("ix_reservations_buyer", "reservations", ["deployment", "buyer", "state"], unique=False)
    op.create_index("ix_reservations_state", "reservations", ["deployment", "state", "until"], unique=False)
    op.create_index("ix_reservations_order_id", "reservations", ["deployment", "order_id"], unique=False)
    for party in ("agent", "buyer", "provider"):
        op.create_index(f"ix_deals_{party}", "deals", ["deployment", party, "deal_id"], unique=False)
    op.create_table(
        "documents",
        sa.Column("deployment", sa.String(length=150), nullable=False),
        sa.Column("deal_id", sa.String(length=66), nullable=False),
        sa.Column(
            "number",
            sa.Integer(),
            autoincrement=False,
            nullable=False,
            comment="counts the deal's up from 1",
        ),
        sa.Column("digest", sa.String(length=66), nullable=False, comment="of the whole document"),
        sa.Column("kind", sa.String(length=16), nullable=False, comment="of DocumentKind"),
        sa.Column("sender", sa.String(length=42), nullable=False),
        sa.Column("posted_at", sa.BigInteger(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False, comment="as JSON; a letter's text is sealed"),
        sa.PrimaryKeyConstraint("deployment", "deal_id", "number", name=op.f("pk_documents")),
        sa.UniqueConstraint(
            "deployment", "deal_id", "digest", name=op.f("uq_documents_deployment_deal_id_digest")
        ),
        comment="What the parties of a deal leave for each other.",
    )
