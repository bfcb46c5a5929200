"""The whole path rehearsed on a throwaway copy of the chain."""
