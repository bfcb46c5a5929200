"""What the oracles last said, and whether it may be believed."""
