package alerttrail.peer;

import org.apache.flink.configuration.Configuration;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.table.api.bridge.java.StreamTableEnvironment;

/**
 * The join as a Flink SQL job in a cluster embedded in this process, with state in RocksDB and checkpoints on disk.
 *
 * <p>It is a regular join, which keeps both sides forever unless table.exec.state.ttl limits that: an interval join would need a
 * constant window and lose records behind its watermark. One table function reads each record once and drops records without a key.
 *
 * <p>All settings are system properties; benches/peers/run passes them.
 */
public final class Flink {
    private Flink() { }

    public static void main(String[] arguments) throws Exception {
        boolean exactlyOnce = System.getProperty("guarantee").equals("exactly_once");
        String state = System.getProperty("state");
        Configuration settings = new Configuration();
        settings.setString("state.backend.type", System.getProperty("backend", "rocksdb"));
        settings.setString("execution.checkpointing.storage", "filesystem");
        settings.setString("execution.checkpointing.dir", "file://" + state + "/checkpoints");
        settings.setString("execution.checkpointing.incremental", "true");
        settings.setString("execution.checkpointing.interval", System.getProperty("checkpoint"));
        settings.setString("execution.checkpointing.mode", exactlyOnce ? "EXACTLY_ONCE" : "AT_LEAST_ONCE");
        settings.setString("io.tmp.dirs", state + "/tmp");
        settings.setString("taskmanager.memory.managed.size", "512m");
        settings.setString("parallelism.default", System.getProperty("threads"));
        settings.setString("table.exec.mini-batch.enabled", "true");
        settings.setString("table.exec.mini-batch.allow-latency", "100 ms");
        settings.setString("table.exec.mini-batch.size", "5000");
        StreamExecutionEnvironment environment = StreamExecutionEnvironment.getExecutionEnvironment(settings);
        StreamTableEnvironment tables = StreamTableEnvironment.create(environment);
        tables.createTemporarySystemFunction("ACTIVITY", Fields.Activity.class);
        tables.createTemporarySystemFunction("ALERT", Fields.Alert.class);
        source(tables, "activities");
        source(tables, "alerts");
        sink(tables, exactlyOnce);
        tables.executeSql("""
            INSERT INTO pairs
            SELECT s.id, a.id
            FROM (SELECT f.cid, f.id, f.happened FROM activities, LATERAL TABLE(ACTIVITY(message)) AS f(cid, id, happened)) AS a
            JOIN (SELECT f.cid, f.id, f.begins, f.ends FROM alerts, LATERAL TABLE(ALERT(message)) AS f(cid, id, begins, ends)) AS s
            ON a.cid = s.cid AND a.happened > s.begins AND a.happened < s.ends
            """).await();
    }

    private static void source(StreamTableEnvironment tables, String name) {
        tables.executeSql("""
            CREATE TABLE %s (message BYTES) WITH (
              'connector' = 'kafka', 'topic' = '%s', 'properties.bootstrap.servers' = '%s', 'properties.group.id' = '%s',
              'properties.max.poll.records' = '5000', 'properties.max.partition.fetch.bytes' = '8388608',
              'scan.startup.mode' = 'earliest-offset', 'format' = 'raw')
            """.formatted(name, System.getProperty(name), System.getProperty("bootstrap"), System.getProperty("application")));
    }

    private static void sink(StreamTableEnvironment tables, boolean exactlyOnce) {
        String guarantee = exactlyOnce
            ? "'sink.delivery-guarantee' = 'exactly-once', 'sink.transactional-id-prefix' = '%s',".formatted(System.getProperty("application"))
            : "'sink.delivery-guarantee' = 'at-least-once',";
        tables.executeSql("""
            CREATE TABLE pairs (alert STRING, activity STRING) WITH (
              'connector' = 'kafka', 'topic' = '%s', 'properties.bootstrap.servers' = '%s', %s
              'properties.linger.ms' = '50', 'properties.batch.size' = '262144', 'properties.transaction.timeout.ms' = '600000',
              'format' = 'json')
            """.formatted(System.getProperty("output"), System.getProperty("bootstrap"), guarantee));
    }
}
