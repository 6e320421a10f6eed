"""The `avo` command."""
