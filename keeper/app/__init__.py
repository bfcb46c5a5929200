"""The composition root: the one place where concrete classes meet.

`running` builds and runs a keeper, `checking` looks at everything a run would need and says the
cure, `replaying` re-applies a recorded journal; `assembly` is what they share. `state` is what a
run begins from, `audit` holds it against the chain's own views, `leave` is what a live start asks
for, and `drill` goes the whole way on a throwaway copy.
"""
