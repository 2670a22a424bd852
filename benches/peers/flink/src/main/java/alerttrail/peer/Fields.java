package alerttrail.peer;

import java.io.IOException;
import java.time.Instant;
import org.apache.flink.table.annotation.DataTypeHint;
import org.apache.flink.table.annotation.FunctionHint;
import org.apache.flink.table.functions.TableFunction;
import org.apache.flink.types.Row;

/** The fields of a record that the join needs: a row, or none if there is no key. Times are ticks of 100 ns, because SQL's row times have only milliseconds. */
public final class Fields {
    private Fields() { }

    /** Of an activity: key, id, time. */
    @FunctionHint(output = @DataTypeHint("ROW<cid STRING, id STRING, happened BIGINT>"))
    public static final class Activity extends TableFunction<Row> {
        public void eval(byte[] message) throws IOException {
            Event event = Event.activity(message);
            if (event.key != null && !event.key.isEmpty()) {
                collect(Row.of(event.key, event.id, ticks(event.start)));
            }
        }
    }

    /** Of an alert: key, id, beginning and end of its window. */
    @FunctionHint(output = @DataTypeHint("ROW<cid STRING, id STRING, begins BIGINT, ends BIGINT>"))
    public static final class Alert extends TableFunction<Row> {
        public void eval(byte[] message) throws IOException {
            Event event = Event.alert(message);
            if (event.key != null && !event.key.isEmpty()) {
                collect(Row.of(event.key, event.id, ticks(event.start), ticks(event.end)));
            }
        }
    }

    private static long ticks(Instant time) {
        return time.getEpochSecond() * 10_000_000L + time.getNano() / 100;
    }
}
