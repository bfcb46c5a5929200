"""One folder a venue; each fills the socket of keeper.venue. Strangers to one another."""
