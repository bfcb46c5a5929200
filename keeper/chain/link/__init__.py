"""Sockets, calls and endpoints: how a node is asked, and which one is believed."""
