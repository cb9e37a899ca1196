"""What Alembic runs: the changes, in the transaction of the connection that `migrate` gives it."""

from alembic import context

from molt_market.storage.schema import metadata

context.configure(
    connection=context.config.attributes["connection"], target_metadata=metadata, user_module_prefix="types."
)
context.run_migrations()
