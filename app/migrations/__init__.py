"""Alembic's environment for the database's schema."""
