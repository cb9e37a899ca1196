"""What lies at a provider's gateway itself: what was handed to it, whichever way, and what it has left."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the change."""
    op.create_table(
        "agent_mail",
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
        sa.PrimaryKeyConstraint("deployment", "deal_id", "number", name=op.f("pk_agent_mail")),
        sa.UniqueConstraint(
            "deployment", "deal_id", "digest", name=op.f("uq_agent_mail_deployment_deal_id_digest")
        ),
        comment="What lies at a gateway for its deals: handed to the agent, whichever way, or left by him.",
    )


def downgrade() -> None:
    """Take the change back."""
    op.drop_table("agent_mail")
