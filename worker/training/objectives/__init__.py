"""The losses that a stage minimises: margin losses on identities and distillation from a teacher."""
