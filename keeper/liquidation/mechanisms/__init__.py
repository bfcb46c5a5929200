"""How venues liquidate, as pure functions: one file a mechanism."""
