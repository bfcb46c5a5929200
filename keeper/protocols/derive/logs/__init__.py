"""What the venue's logs mean, and the tables they leave behind."""
