"""Liquidation policies, plugged in by dotted name from config.toml."""
