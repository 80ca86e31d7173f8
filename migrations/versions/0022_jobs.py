"""Jobs that a person starts and a process of the service does, and dead letters that were sent again mended.

Nothing is rewritten. The version before works on beside us: it decides dead letters by `replayed` and `discarded` and
does no jobs. Whoever waits for the lock on the dead letters makes the consumer wait, so it waits for moments only.
"""

from alembic import op

from app.database.table_locks import take_lock

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

JOBS = (
    "Work that a person, or the clock, starts and one process at a time does; `held_until` is that process's lease, or "
    "how long the job rests"
)
ITEMS = "One thing that a job does, and what came of it; marked in the transaction of its effect"


def upgrade() -> None:
    """Create the tables of jobs, and let a dead letter be mended; reads the dead letters once."""
    op.execute(
        """
        CREATE TABLE jobs (
            id bigint GENERATED ALWAYS AS IDENTITY (CACHE 1),
            kind varchar(40) NOT NULL,
            state varchar(10) DEFAULT 'waiting' NOT NULL,
            who varchar(255) NOT NULL,
            reason text NOT NULL,
            input text NOT NULL,
            once varchar(40),
            created_at timestamptz DEFAULT now() NOT NULL,
            deadline_at timestamptz NOT NULL,
            started_at timestamptz,
            ended_at timestamptz,
            holder varchar(255),
            held_until timestamptz,
            attempts integer DEFAULT 0 NOT NULL,
            stopped_by varchar(255),
            trouble text,
            outcome text,
            result text,
            version varchar(40),
            CONSTRAINT jobs_pkey PRIMARY KEY (id),
            CONSTRAINT uq_jobs_once UNIQUE (once),
            CONSTRAINT ck_jobs_state CHECK (state IN ('waiting', 'running', 'done', 'failed', 'stopped')),
            CONSTRAINT ck_jobs_ended CHECK ((ended_at IS NULL) = (state IN ('waiting', 'running')))
        )
        """
    )
    op.create_table_comment("jobs", JOBS)
    op.execute("CREATE INDEX ix_jobs_open ON jobs (id) WHERE ended_at IS NULL")
    op.execute(
        """
        CREATE TABLE job_items (
            job_id bigint NOT NULL CONSTRAINT fk_job_items_job REFERENCES jobs ON DELETE CASCADE,
            number integer NOT NULL,
            subject varchar(255) NOT NULL,
            state varchar(10) DEFAULT 'waiting' NOT NULL,
            result text,
            done_at timestamptz,
            CONSTRAINT job_items_pkey PRIMARY KEY (job_id, number),
            CONSTRAINT ck_job_items_state CHECK (state IN ('waiting', 'done', 'failed')),
            CONSTRAINT ck_job_items_done CHECK ((done_at IS NULL) = (state = 'waiting'))
        )
        """
    )
    op.create_table_comment("job_items", ITEMS)
    take_lock(op.get_bind(), "LOCK TABLE dead_letters IN ACCESS EXCLUSIVE MODE")
    op.execute("ALTER TABLE dead_letters ADD COLUMN sent_as text, DROP CONSTRAINT ck_dead_letters_resolution")
    op.execute(
        "ALTER TABLE dead_letters ADD CONSTRAINT ck_dead_letters_resolution "
        "CHECK (resolution IN ('replayed', 'discarded', 'mended'))"
    )


def downgrade() -> None:
    """Forget the jobs; a mended letter counts as replayed."""
    take_lock(op.get_bind(), "LOCK TABLE dead_letters IN ACCESS EXCLUSIVE MODE")
    op.execute("ALTER TABLE dead_letters DROP COLUMN sent_as, DROP CONSTRAINT ck_dead_letters_resolution")
    op.execute("UPDATE dead_letters SET resolution = 'replayed' WHERE resolution = 'mended'")
    op.execute(
        "ALTER TABLE dead_letters ADD CONSTRAINT ck_dead_letters_resolution "
        "CHECK (resolution IN ('replayed', 'discarded'))"
    )
    op.execute("DROP TABLE job_items")
    op.execute("DROP TABLE jobs")
