"""The prices of a GPU model lie together in an index: the offers themselves are all over the file."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the change."""
    op.create_index(
        "ix_offers_prices",
        "offers",
        ["deployment", "stands", "gpu_model", "features", "price_per_gpu_hour", "offer_id"],
        unique=False,
    )
    op.drop_index("ix_offers_gpu_model", table_name="offers")
