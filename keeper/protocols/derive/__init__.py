"""Derive v2: portfolio-margined options, perpetuals and collateral, liquidated by Dutch auction."""
