"""What the venue's views say of its state, and how that is held against ours."""
