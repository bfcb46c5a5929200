"""The link to the chain: what the node says becomes events, what we decided becomes transactions.

The only room that opens a socket to a node. It knows addresses, hashes and bytes, and nothing of
what a log means or why a call is made. Its own rooms, from the socket up:

    link       calls, endpoints and the pool: how a node is asked, and which one is believed
    sealing    from hints of heads to sealed blocks: complete, in order, on one branch
    keys       what holds or reaches a key, and what it will sign
    ledger     the durable truth of lanes and spend
    routes     where bytes go, and how each way has served
    sending    from a command to included bytes: lanes, fees, receipts, recovery
    throwaway  copies of a chain for drills
"""
