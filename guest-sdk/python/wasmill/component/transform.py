"""The exports of the world `transform`."""

from wit_world import exports
from wit_world.imports.types import Outcome

from . import Lifecycle, failures_of, guarded, info_of, opened

__all__ = ["Lifecycle", "Transformer"]


class Transformer(exports.Transformer):
    """What a stateless operator exports besides."""

    @guarded
    def process(self, info, records):
        failures = opened().transform(info_of(info), records.timestamps, records.spans, records.data)
        return Outcome(failures_of(failures))
