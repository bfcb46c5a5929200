"""Where bytes go: public nodes, relays, bundles, sequencers, and how each has served."""
