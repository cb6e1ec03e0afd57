# Names for the commands of CONTRIBUTING.md. CI runs the same ones and needs no just.

# List the recipes
default:
    @just --list

# All tests; arguments go to cargo test
test *args:
    tests/run {{args}}

# The worker's loop in a world where every call fails and nodes come and go, by so many seeds
sim seeds='100000':
    WASMILL_SIM_SEEDS=0..{{seeds}} cargo test --release --target-dir target/sim -p wasmill-core --test sim -- --nocapture no_schedule_shows

# Random pipelines under random schedules, by so many seeds
pipelines seeds='100000':
    WASMILL_SIM_SEEDS=0..{{seeds}} cargo test --release --target-dir target/sim -p wasmill-core --test sim -- --nocapture no_pipeline

# Nodes, disks and brokers of a real Kafka fail in the order that a seed says, for so many minutes
chaos minutes='10' seed='1':
    WASMILL_CHAOS_MINUTES={{minutes}} WASMILL_CHAOS_SEED={{seed}} tests/run --test system -- --nocapture chaos

# Remove one protection after the other, and see a test turn red
mutate *names:
    tests/mutations/run {{names}}

# Clippy, with warnings denied
lint:
    cargo clippy --workspace --all-targets -- -D warnings

# Format all code
fmt:
    cargo fmt --all

# Documentation, with warnings denied
doc:
    RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps

# The parts of the pages that are made of the code, made anew; then all that the pages show is run
docs:
    WASMILL_WRITE_DOCS=1 tests/run --test system documentation_is_run
    tests/run --test system documentation_is_run

# The examples, run by the built binary
examples:
    tests/run --test system examples_do_what_they_say

# What the boundary between host and plugin costs
bench:
    cargo run --release -p bench-boundary

# All that must pass before a change lands
ci:
    .ci/run
