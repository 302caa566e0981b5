"""The transitions of a job, one module for each kind of transition; each is one conditional UPDATE."""
