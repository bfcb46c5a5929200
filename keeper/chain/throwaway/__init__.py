"""Copies of a chain that are thrown away: changed at will, after they were proved to be one."""
