"""The jobs: their kinds, states, tables, transitions, queries and views, without HTTP, queue or torch."""
