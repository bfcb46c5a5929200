"""The only place that holds or reaches a key, and what it will sign."""
