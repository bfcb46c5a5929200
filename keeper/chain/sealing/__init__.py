"""From hints of heads to sealed blocks: complete, in order, on one branch."""
