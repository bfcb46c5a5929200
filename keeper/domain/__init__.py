"""The ground floor: units, events, effects, errors. Imports nothing of the house."""
