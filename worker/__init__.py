"""The machine that trains: it claims jobs and runs each attempt in a process of its own."""
