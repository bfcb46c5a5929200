"""What an operator sees: log lines, metrics, health. A projection of (entry, effects), no more.

Sees ports and domain only, decides nothing, and nothing flows back from it.
"""
