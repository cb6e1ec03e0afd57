"""What holds for all records of one call."""

from . import host
from .setup import Input


class Call:
    """A call of the operator: a batch of records, or timers that came due together.

    An operator has no other clock than this, so that a call made again has the same effects.
    """

    __slots__ = ("input", "partition", "sequence", "watermark", "processing_time", "_offsets", "_watermarks")

    def __init__(self, input, partition, sequence, watermark, processing_time):
        self.input = Input(input)
        """The input that the records came by."""
        self.partition = partition
        """The partition that is worked for."""
        self.sequence = sequence
        """Number of this call in the life of the task; the same number again is the same call made again."""
        self.watermark = watermark
        """The watermark before the first record: no record with an event time at or below it is expected any more."""
        self.processing_time = processing_time
        """The host's clock, the same for the whole call."""
        self._offsets = self._watermarks = None

    @property
    def topic(self):
        """The topic that the records come from."""
        return host.imports.topic()

    def offset_of(self, record):
        """The offset of one of the call's records in its partition."""
        if self._offsets is None:
            self._offsets = host.imports.offsets()
        return self._offsets[record.index]

    def watermark_before(self, record):
        """The watermark just before one of the call's records."""
        if self._watermarks is None:
            self._watermarks = host.imports.watermarks()
        return self._watermarks[record.index]
