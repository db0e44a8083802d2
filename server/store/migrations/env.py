"""Run by Alembic for each command; the connection comes from ``server.store.migrate``."""

from alembic import context

from server.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite cannot alter much: it makes the table anew instead.
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
