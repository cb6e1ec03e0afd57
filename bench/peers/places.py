"""Where things are, and what the other benchmarks share."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent))

from runs import BINARY, ROOT, TARGET, machine, shown  # noqa: E402, F401

BUILT = TARGET / "peers"
GEN = BUILT / "cargo/release/gen"
NATIVE = BUILT / "cargo/release/native"
PLUGINS = BUILT / "operators/wasm32-unknown-unknown/release"
KAFKA_JARS = TARGET / "kafka/lib"
DATA = BUILT / "data"
