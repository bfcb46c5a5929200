"""The demonstration: keeper and market side by side, from beginning to end."""
