"""The commands that import much: each module runs the command of the same name, whose options are one folder up."""
