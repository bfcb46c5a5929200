"""Columnar state of every account, and the one undo log all of it is written through."""
