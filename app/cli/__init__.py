"""The command line. `service` has all commands, `remote` those that need no more than the API."""
