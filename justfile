# Short names for the commands of everyday work. The work itself is in scripts/ and in cargo.

# List the recipes.
default:
    @just --list

# Type-check and lint without RocksDB: seconds.
check:
    cargo clippy --workspace --no-default-features --all-targets -- -D warnings

# Format, lint and test without RocksDB and without a broker.
quick:
    scripts/test --quick

# Everything, with a real Kafka broker.
test:
    scripts/test

# Build, and run the demo.
demo *arguments:
    scripts/demo {{arguments}}

# Format the code.
fmt:
    cargo fmt --all

# Inject faults around real processes on a real broker; --short takes minutes.
faults *arguments:
    scripts/faults {{arguments}}

# Measure the parts of the hot path, and list what has moved; --record records.
bench *arguments:
    scripts/bench {{arguments}}

# Count the instructions of fixed pieces of work; --record records.
instructions *arguments:
    scripts/instructions {{arguments}}

# Start a Kafka broker for tests; prints its address.
broker-up *arguments:
    scripts/broker up {{arguments}}

# Stop the broker and delete its topics.
broker-down *arguments:
    scripts/broker down {{arguments}}
