"""From tables to what margin is computed of."""
