"""The routes, one file for each resource, without logic of their own."""
