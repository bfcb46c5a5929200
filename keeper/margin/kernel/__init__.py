"""The compiled margin kernel: its loops, their shapes, and the front that calls them."""
