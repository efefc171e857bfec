"""Reads and their corrections. A first start that was cut short may have made some of them."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "reads",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("owner", sa.String(40), nullable=False),
        sa.Column("image_sha256", sa.String(64), nullable=False),
        sa.Column("image", sa.LargeBinary, nullable=False),
        sa.Column("model", sa.String(100), nullable=False),
        sa.Column("answer", sa.JSON, nullable=False),
        if_not_exists=True,
    )
    for column in ("created", "owner", "image_sha256"):
        op.create_index(f"ix_reads_{column}", "reads", [column], if_not_exists=True)
    op.create_table(
        "corrections",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("read_id", sa.String(32), sa.ForeignKey("reads.id", ondelete="CASCADE"), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("owner", sa.String(40), nullable=False),
        sa.Column("labels", sa.JSON, nullable=True),
        sa.Column("report", sa.Text, nullable=True),
        if_not_exists=True,
    )
    op.create_index("ix_corrections_read_id", "corrections", ["read_id"], if_not_exists=True)


def downgrade() -> None:
    op.drop_table("corrections")
    op.drop_table("reads")
