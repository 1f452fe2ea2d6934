"""Alembic's entry: runs the migrations on the connection, and in the transaction, that `migrate` opens."""

from alembic import context

from pilot.records.tables import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, transactional_ddl=True, render_as_batch=True)
context.run_migrations()
