package alerttrail.peer;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.JoinWindows;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.Repartitioned;
import org.apache.kafka.streams.kstream.StreamJoined;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;

/**
 * The join as a Kafka Streams application: records are keyed by correlation id, which makes a repartition topic for each
 * side; a windowed join as long as the longest alert finds candidates, and a filter keeps those within the alert's own window.
 *
 * <p>All settings are system properties; benches/peers/run passes them.
 */
public final class Streams {
    private Streams() { }

    public static void main(String[] arguments) {
        Duration window = Duration.parse(System.getProperty("window"));
        Duration grace = Duration.parse(System.getProperty("grace"));
        boolean rows = System.getProperty("rows", "false").equals("true");
        KafkaStreams streams = build(window, grace, rows);
        streams.setUncaughtExceptionHandler(error -> {
            error.printStackTrace();
            Runtime.getRuntime().halt(1);
            return null;
        });
        Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(Duration.ofSeconds(20))));
        streams.start();
    }

    private static KafkaStreams build(Duration window, Duration grace, boolean rows) {
        StreamsBuilder builder = new StreamsBuilder();
        KStream<String, byte[]> activities = source(builder, "activities", Event::activity, rows);
        KStream<String, byte[]> alerts = source(builder, "alerts", Event::alert, rows);
        // The timestamp of an alert is its StartTime, so only later activities can match: half of what a symmetric window would search.
        JoinWindows windows = JoinWindows.ofTimeDifferenceAndGrace(window, grace).before(Duration.ZERO);
        alerts.join(activities, Streams::pair, windows, StreamJoined.with(Serdes.String(), Serdes.ByteArray(), Serdes.ByteArray()))
            .filter((key, pair) -> pair.length > 0)
            .to(System.getProperty("output"), Produced.with(Serdes.String(), Serdes.ByteArray()));
        Properties settings = settings();
        return new KafkaStreams(builder.build(settings), settings);
    }

    private static Properties settings() {
        Properties settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, System.getProperty("application"));
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, System.getProperty("bootstrap"));
        settings.put(StreamsConfig.STATE_DIR_CONFIG, System.getProperty("state"));
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, System.getProperty("guarantee"));
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, System.getProperty("threads"));
        settings.put(StreamsConfig.TOPOLOGY_OPTIMIZATION_CONFIG, StreamsConfig.OPTIMIZE);
        settings.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
        // Settings for a backlog of records of 2.65 KB: larger fetches, and batches that are not sent half empty.
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_POLL_RECORDS_CONFIG), 5_000);
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_PARTITION_FETCH_BYTES_CONFIG), 8 << 20);
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.BATCH_SIZE_CONFIG), 256 << 10);
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.BUFFER_MEMORY_CONFIG), 64L << 20);
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.LINGER_MS_CONFIG), 50);
        String idle = System.getProperty("idle");
        if (idle != null) {
            settings.put(StreamsConfig.MAX_TASK_IDLE_MS_CONFIG, idle);
        }
        return settings;
    }

    private interface Reader {
        Event read(byte[] message) throws IOException;
    }

    /** Keyed records of a topic with their event time, reduced to what the join needs. */
    private static KStream<String, byte[]> source(StreamsBuilder builder, String topic, Reader reader, boolean rows) {
        return builder.stream(System.getProperty(topic), Consumed.with(Serdes.ByteArray(), Serdes.ByteArray()))
            .process(() -> new Keyed(reader, rows))
            .repartition(Repartitioned.<String, byte[]>as(topic).withKeySerde(Serdes.String()).withValueSerde(Serdes.ByteArray()));
    }

    /** Parses each record once, drops records without a key, and forwards the others with the event time as timestamp. */
    private static final class Keyed implements Processor<byte[], byte[], String, byte[]> {
        private final Reader reader;
        private final boolean rows;
        private ProcessorContext<String, byte[]> context;

        Keyed(Reader reader, boolean rows) {
            this.reader = reader;
            this.rows = rows;
        }

        @Override
        public void init(ProcessorContext<String, byte[]> context) {
            this.context = context;
        }

        @Override
        public void process(Record<byte[], byte[]> record) {
            try {
                Event event = reader.read(record.value());
                if (event.key != null && !event.key.isEmpty()) {
                    byte[] value = encode(event, rows ? record.value() : new byte[0]);
                    context.forward(new Record<>(event.key, value, event.start.toEpochMilli()));
                }
            } catch (IOException error) {
                throw new UncheckedIOException(error);
            }
        }
    }

    /** Start and end to the nanosecond, because the record's timestamp has only milliseconds; the id; and the row, if it is part of the output. */
    private static byte[] encode(Event event, byte[] row) {
        byte[] id = event.id.getBytes(StandardCharsets.UTF_8);
        Instant end = event.end == null ? event.start : event.end;
        return ByteBuffer.allocate(25 + id.length + row.length)
            .putLong(event.start.getEpochSecond()).putInt(event.start.getNano())
            .putLong(end.getEpochSecond()).putInt(end.getNano())
            .put((byte) id.length).put(id).put(row).array();
    }

    private static int compare(byte[] one, int oneAt, byte[] other, int otherAt) {
        ByteBuffer left = ByteBuffer.wrap(one);
        ByteBuffer right = ByteBuffer.wrap(other);
        int seconds = Long.compare(left.getLong(oneAt), right.getLong(otherAt));
        return seconds != 0 ? seconds : Integer.compare(left.getInt(oneAt + 8), right.getInt(otherAt + 8));
    }

    /** The pair as JSON, or nothing if the activity lies outside the alert's own window. */
    private static byte[] pair(byte[] alert, byte[] activity) {
        if (compare(activity, 0, alert, 0) <= 0 || compare(activity, 0, alert, 12) >= 0) {
            return new byte[0];
        }
        ByteArrayOutputStream out = new ByteArrayOutputStream(128 + alert.length + activity.length);
        text(out, "{\"alert\":\"");
        out.write(alert, 25, alert[24]);
        text(out, "\",\"activity\":\"");
        out.write(activity, 25, activity[24]);
        text(out, "\"");
        row(out, ",\"alert_row\":", alert);
        row(out, ",\"activity_row\":", activity);
        text(out, "}");
        return out.toByteArray();
    }

    private static void row(ByteArrayOutputStream out, String name, byte[] record) {
        int begin = 25 + record[24];
        if (record.length > begin) {
            text(out, name);
            out.write(record, begin, record.length - begin);
        }
    }

    private static void text(ByteArrayOutputStream out, String text) {
        out.writeBytes(text.getBytes(StandardCharsets.UTF_8));
    }
}
