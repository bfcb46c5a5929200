"""The link to the chain: what the node says becomes events, what we decided becomes transactions.

The only room that opens a socket to a node. It knows addresses, hashes and bytes, and nothing of
what a log means or why a call is made.
"""
