#!/usr/bin/env bash
#
# An idempotent librdkafka producer keeps a core busy while a partition waits for acknowledgements with more to send.
#
# An idempotent producer has at most five requests on their way to a partition. With a sixth message waiting, one expects
# the broker's thread to sleep until an acknowledgement comes. librdkafka 2.12.1 schedules its next wakeup for "now"
# instead, and polls its sockets without a pause until then: over a link with a round trip of a second and a half it
# takes most of a core, and none if nothing waits behind the five. So a slow or distant broker costs a core exactly when
# the producer can do nothing.
#
# Installs PyPI's confluent-kafka 2.12.1, which contains librdkafka 2.12.1, in a temporary folder, and uses the mock
# cluster that librdkafka has; needs python3 with venv and pip. Exit status 0: as described; 1: it behaves otherwise now.

set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf -- "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check confluent-kafka==2.12.1
cat >producer.py <<'PY'
import resource
import sys
import time

import confluent_kafka

ROUND_TRIP = 1.5


def busy_seconds(messages):
    """Returns the CPU time of a second in which that many messages of one partition wait for acknowledgements."""
    producer = confluent_kafka.Producer({
        "test.mock.num.brokers": 1,
        "test.mock.broker.rtt": int(1000 * ROUND_TRIP),
        "enable.idempotence": True,
        "linger.ms": 0,
        "batch.num.messages": 1,
        "log_level": 2,
    })
    # The connection, the topic and the producer's id are there before anything is measured.
    producer.produce("t", b"first", partition=0)
    producer.flush(30)
    for number in range(messages):
        producer.produce("t", b"%d" % number, partition=0)
    time.sleep(0.2)
    before = resource.getrusage(resource.RUSAGE_SELF)
    time.sleep(ROUND_TRIP - 0.5)
    after = resource.getrusage(resource.RUSAGE_SELF)
    producer.flush(60)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


print("librdkafka", confluent_kafka.libversion()[0])
waits = busy_seconds(20)
rests = busy_seconds(4)
print(f"more than five messages: {waits:.2f} s of CPU in 1.0 s; fewer than five: {rests:.2f} s")
sys.exit(0 if waits > 0.3 and rests < 0.1 else 1)
PY
venv/bin/python producer.py
