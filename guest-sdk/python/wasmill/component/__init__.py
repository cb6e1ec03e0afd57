"""The component's side: the imports as the SDK's host, and what its exports share. Only a component can import it."""

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.lifecycle import MetricDecl, MetricKind, OperatorInfo, OutputDecl, StateDecl, StateKind
from wit_world.imports import logging, metrics, origin, output
from wit_world.imports.types import Batch, Error_Permanent, Error_Transient, Failure

from .. import host
from ..errors import Transient, reason
from ..guest import Guest
from ..operator import exported
from . import sandbox

_LEVELS = (logging.Level.TRACE, logging.Level.DEBUG, logging.Level.INFO, logging.Level.WARN, logging.Level.ERROR)


class Imports:
    """What every operator may ask of the host."""

    offsets, watermarks, topic = staticmethod(origin.offsets), staticmethod(origin.watermarks), staticmethod(origin.topic)
    add, set, observe = staticmethod(metrics.add), staticmethod(metrics.set), staticmethod(metrics.observe)

    @staticmethod
    def emit(port, timestamps, spans, data, origins):
        output.emit(port, Batch(timestamps, spans, data), origins)

    @staticmethod
    def enabled(level):
        return logging.enabled(_LEVELS[level])

    @staticmethod
    def log(level, message):
        logging.log(_LEVELS[level], message)


guest = None
"""The open operator."""


def guarded(function):
    """Turns what escapes from a call into the contract's error: an exception that leaves a component is a trap that says
    nothing of the operator's file and line."""

    def call(*arguments):
        try:
            return function(*arguments)
        except Transient as error:
            raise Err(Error_Transient(reason(error))) from None
        except BaseException as error:
            raise Err(Error_Permanent(reason(error))) from None

    return call


def opened():
    """The open operator."""
    if guest is None:
        raise RuntimeError("call the operator: it was not opened")
    return guest


def info_of(info):
    """What `Call` is made of."""
    return info.input, info.partition, info.sequence, info.watermark, info.processing_time


def failures_of(failures):
    """Failures as the contract has them."""
    return [Failure(index, why) for index, why in failures]


class Lifecycle(exports.Lifecycle):
    """What every plugin exports."""

    @guarded
    def describe(self, settings):
        sandbox.enter()
        operator = exported()
        setup = Guest(operator.operator, settings).setup
        kinds = {"single": StateKind.SINGLE, "ordered-map": StateKind.ORDERED_MAP}
        states = [
            StateDecl(state.name, kinds[state.kind], state.prefetch, state.ttl_ms, state.encoding_version)
            for state in setup.states
        ]
        metrics = [MetricDecl(name, MetricKind[kind.upper()], unit) for name, kind, unit in setup.metrics]
        outputs = [OutputDecl(name, keeps_keys) for name, keeps_keys in setup.outputs]
        return OperatorInfo(operator.name, operator.version, setup.inputs, outputs, states, metrics)

    @guarded
    def open(self, settings):
        global guest
        sandbox.enter()
        guest = Guest(exported().operator, settings)


host.imports = Imports()
