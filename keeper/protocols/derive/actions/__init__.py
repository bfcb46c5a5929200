"""What can be done about an account, and the calls that do it."""
