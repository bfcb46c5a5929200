"""A liquidation keeper that re-margins whole portfolios on every block."""

__version__ = "0.1.0"
