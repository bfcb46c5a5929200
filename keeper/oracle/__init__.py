"""Prices, rounds and signed data from outside the chain's logs, as events.

Sees ports and the domain only: what a price is worth is judged in `keeper.market`.
"""
