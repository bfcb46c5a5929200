"""What a run begins from: a state file or a fresh snapshot, and how it is kept."""
