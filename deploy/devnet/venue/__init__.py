"""The venue that stands on the node, its market, and its accounts."""
