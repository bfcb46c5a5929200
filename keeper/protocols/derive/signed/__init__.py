"""Signed feed data: opened, kept, decided on, brought along, pushed."""
