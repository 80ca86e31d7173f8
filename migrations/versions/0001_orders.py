"""The `orders` table as the service before this one had it.

Where the table is there already it is taken over as it stands; an empty database gets the same one. So there is one
path for both from here on.
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table where it is missing."""
    op.execute(
        """
        CREATE TABLE IF NOT EXISTS orders (
            order_id varchar(36) PRIMARY KEY,
            cust_id varchar(36) NOT NULL,
            runner_id varchar(36),
            order_description text NOT NULL,
            food_fee numeric(5, 2) NOT NULL,
            delivery_fee numeric(5, 2) NOT NULL,
            store_location varchar(255),
            delivery_location varchar(255) NOT NULL,
            order_status varchar(10) NOT NULL,
            saga_id varchar(36),
            created_at timestamp NOT NULL,
            updated_at timestamp NOT NULL,
            accepted_at timestamp,
            placed_at timestamp,
            picked_up_at timestamp,
            delivered_at timestamp,
            completed_at timestamp,
            cancelled_at timestamp
        )
        """
    )
    for column in ("cust_id", "runner_id", "order_status", "saga_id"):
        op.execute(f"CREATE INDEX IF NOT EXISTS ix_orders_{column} ON orders ({column})")


def downgrade() -> None:
    """Leave the table: it may be the one that was taken over."""
