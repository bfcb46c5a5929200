"""The judge: what happened on the chain, and what should have."""
