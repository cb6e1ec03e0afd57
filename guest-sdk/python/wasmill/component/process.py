"""The exports of the world `process`."""

from wit_world import exports
from wit_world.imports import state, timers
from wit_world.imports.types import Blobs, KeyedOutcome

from .. import host
from ..timer import Domain
from . import Imports, Lifecycle, failures_of, guarded, info_of, opened

__all__ = ["Lifecycle", "Processor"]


class KeyedImports(Imports):
    """What a keyed operator may ask of the host besides."""

    get, put, delete = staticmethod(state.get), staticmethod(state.put), staticmethod(state.delete)
    delete_range = staticmethod(state.delete_range)

    @staticmethod
    def scan(index, key, start, end, limit, reverse):
        found = state.scan(index, key, start, end, limit, reverse)
        return found.spans, found.data

    @staticmethod
    def set_timers(domain, spans, data, at):
        timers.set_many(timers.Domain[domain.name], Blobs(spans, data), at)


class Processor(exports.Processor):
    """What a keyed operator exports besides."""

    @guarded
    def process(self, info, records, state):
        return _outcome(opened().process(info_of(info), *_columns(records, state)))

    @guarded
    def on_timers(self, info, domain, timers, state):
        return _outcome(opened().on_timers(info_of(info), Domain[domain.name], *_columns(timers, state)))


def _columns(batch, slots):
    return batch.timestamps, batch.spans, batch.data, slots.slot_of, (slots.values.spans, slots.values.data)


def _outcome(answer):
    failures, cells = answer
    spans, data = [], bytearray()
    for stored in cells.values():
        if stored is None:
            spans += (0, -1)
        else:
            spans += (len(data), len(stored))
            data += stored
    return KeyedOutcome(failures_of(failures), list(cells), Blobs(spans, bytes(data)))


host.imports = KeyedImports()
