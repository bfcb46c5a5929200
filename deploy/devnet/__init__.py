"""The development network: a local node, our own contracts, and what deploys and drives them."""
