"""The files of a run: the exported model and the state that a later run resumes from."""
