"""Points in time: whole milliseconds since the Unix epoch."""

NO_TIME = -(1 << 63)
"""No time at all: the watermark before any record, the event time of a record without one. Before all others."""
