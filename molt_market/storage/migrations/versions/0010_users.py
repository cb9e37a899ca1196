"""Deals by who signs their vouchers: a user whose deals somebody else pays for finds them."""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the change."""
    columns = ["deployment", "voucher_signer", "deal_id"]
    op.create_index("ix_deals_voucher_signer", "deals", columns, unique=False)
