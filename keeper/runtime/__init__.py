"""The shell around the machine: clock, inbox, engine, journal, replay, supervisor.

Sees ports and domain only: never a chain, an oracle, a protocol or telemetry.
"""
