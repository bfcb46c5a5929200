"""The executor contract: its source, and how it is deployed and set up."""
