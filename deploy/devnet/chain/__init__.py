"""The node, its contracts as ABI and bytecode, and what talks to both."""
