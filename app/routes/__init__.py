"""One file per resource: HTTP in, HTTP out, no logic."""
