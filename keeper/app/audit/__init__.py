"""The shadow check: our figures and the venue's rules beside the chain's own."""
