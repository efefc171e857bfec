"""Run by Alembic: brings the database of the connection that `Store` passes up to date."""

from alembic import context

from ecgvlm.serve.store import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,  # SQLite alters a table by copying it
)
with context.begin_transaction():
    context.run_migrations()
