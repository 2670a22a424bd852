#!/usr/bin/env bash
#
# A Kafka Streams left join loses unmatched records from what follows it when it reads fast.
#
# Kafka Streams takes its time from the records: a replay gives the results of the first run, one expects, however fast
# it is. But a left or outer join of two streams (kafka-streams 4.4.0, KStreamKStreamJoin) looks for unmatched records
# whose window has closed only if a second of the machine's clock has passed since it last looked. In a replay, a second
# is hours of records: their matches go out at once, the unmatched records of those hours behind them, and a windowed
# count of the joined stream drops these as late, however well ordered the input was. The more there is to catch up
# with, the more alerts without activities are missing. TopologyTestDriver hides it: it sets the second to zero, without
# a word.
#
# Runs three times over one input, with every record in order of time: eight alerts with an activity, eight without,
# half an hour between two of a kind. Only the machine's clock, which is the test driver's, differs.
#
# Installs Maven's kafka-streams-test-utils 4.4.0 in a temporary folder; needs mvn and a JDK of 17 or later. Exit status
# 0: as described; 1: it behaves otherwise now.

set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf -- "$folder"' EXIT
cd "$folder"
cat >pom.xml <<'XML'
<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>speed</groupId>
  <artifactId>speed</artifactId>
  <version>0</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka-streams-test-utils</artifactId>
      <version>4.4.0</version>
    </dependency>
    <dependency>
      <groupId>org.slf4j</groupId>
      <artifactId>slf4j-nop</artifactId>
      <version>1.7.36</version>
    </dependency>
  </dependencies>
</project>
XML
cat >Speed.java <<'JAVA'
import java.time.Duration;
import java.time.Instant;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;
import org.apache.kafka.common.serialization.LongDeserializer;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.TopologyTestDriver;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.JoinWindows;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.StreamJoined;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.state.BuiltInDslStoreSuppliers;

public final class Speed {
    private static final int EACH = 8;
    private static final Instant START = Instant.parse("2026-01-01T00:00:00Z");
    private static final Duration BETWEEN = Duration.ofMinutes(30);
    private static final String INTERVAL =
        StreamsConfig.InternalConfig.EMIT_INTERVAL_MS_KSTREAMS_OUTER_JOIN_SPURIOUS_RESULTS_FIX;

    private static Topology topology() {
        var builder = new StreamsBuilder();
        var strings = Consumed.with(Serdes.String(), Serdes.String());
        var alerts = builder.stream("alerts", strings);
        var activities = builder.stream("activities", strings);
        alerts.leftJoin(activities, (alert, activity) -> activity == null ? "unmatched" : "matched",
                JoinWindows.ofTimeDifferenceWithNoGrace(Duration.ofMinutes(5)),
                StreamJoined.with(Serdes.String(), Serdes.String(), Serdes.String()))
            .groupBy((key, kind) -> kind, Grouped.with(Serdes.String(), Serdes.String()))
            .windowedBy(TimeWindows.ofSizeAndGrace(Duration.ofHours(1), Duration.ofMinutes(15)))
            .count()
            .toStream((window, count) -> window.key() + "@" + window.window().startTime())
            .to("counts", Produced.with(Serdes.String(), Serdes.Long()));
        return builder.build();
    }

    /** Returns the hourly counts of a kind of result, added up. */
    private static long counted(Map<String, Long> hours, String kind) {
        return hours.entrySet().stream().filter(hour -> hour.getKey().startsWith(kind + "@"))
            .mapToLong(Map.Entry::getValue).sum();
    }

    /** Returns how many matched and unmatched alerts are counted, with a pause of the clock after each record. */
    private static String run(Object interval, Duration pause) {
        var settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, "speed");
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, "unused:1");
        settings.put(StreamsConfig.STATE_DIR_CONFIG, "state");
        settings.put(StreamsConfig.DSL_STORE_SUPPLIERS_CLASS_CONFIG,
            BuiltInDslStoreSuppliers.InMemoryDslStoreSuppliers.class);
        if (interval != null) {
            settings.put(INTERVAL, interval);
        }
        var hours = new TreeMap<String, Long>();
        try (var driver = new TopologyTestDriver(topology(), settings, START)) {
            var alerts = driver.createInputTopic("alerts", new StringSerializer(), new StringSerializer());
            var activities = driver.createInputTopic("activities", new StringSerializer(), new StringSerializer());
            for (int at = 0; at < EACH; at++) {
                var time = START.plus(BETWEEN.multipliedBy(at));
                alerts.pipeInput("alone " + at, "", time);
                driver.advanceWallClockTime(pause);
                alerts.pipeInput("pair " + at, "", time.plusSeconds(1));
                driver.advanceWallClockTime(pause);
                activities.pipeInput("pair " + at, "", time.plusSeconds(2));
                driver.advanceWallClockTime(pause);
            }
            // A last record closes the last windows, long after the others.
            driver.advanceWallClockTime(Duration.ofMinutes(1));
            activities.pipeInput("last", "", START.plus(BETWEEN.multipliedBy(EACH)));
            driver.createOutputTopic("counts", new StringDeserializer(), new LongDeserializer())
                .readKeyValuesToList().forEach(count -> hours.put(count.key, count.value));
        }
        return counted(hours, "matched") + " matched, " + counted(hours, "unmatched") + " unmatched";
    }

    public static void main(String[] arguments) {
        // Neither a number nor a text: the join falls back to its own default, as in production, since the test driver
        // sets its zero only where there is nothing.
        var asInProduction = new Object();
        System.out.println("test driver, no pause: " + run(null, Duration.ZERO));
        System.out.println("as in production, 2 s after each record: " + run(asInProduction, Duration.ofSeconds(2)));
        System.out.println("as in production, no pause: " + run(asInProduction, Duration.ZERO));
    }
}
JAVA
mvn --batch-mode --quiet -Dstyle.color=never dependency:build-classpath -Dmdep.outputFile=classpath >&2
grep -o 'kafka-streams-[0-9.]*[0-9]' classpath | head -n 1
found=$(java -Xmx256m -cp "$(<classpath)" Speed.java)
expected='test driver, no pause: 8 matched, 8 unmatched
as in production, 2 s after each record: 8 matched, 8 unmatched
as in production, no pause: 8 matched, 2 unmatched'
printf '%s\n' "$found"
if [[ $found != "$expected" ]]; then
  printf 'expected:\n%s\n' "$expected" >&2
  exit 1
fi
