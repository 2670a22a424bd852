package alerttrail.peer;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.time.Instant;
import java.time.LocalDateTime;
import java.time.ZoneOffset;

/**
 * The fields of a record that the join needs. Jackson's streaming parser is used, which skips the other columns: binding the whole
 * record to objects costs about three times as much.
 */
final class Event {
    private static final JsonFactory JSON = new JsonFactory();

    /** RawEventData.Id of an activity, SystemAlertId of an alert. */
    String id;
    /** Data.cid of an activity, AlertType of an alert; null if there is none. */
    String key;
    /** CreationTime of an activity, StartTime of an alert. */
    Instant start;
    /** EndTime of an alert. */
    Instant end;

    /** The envelope of Defender's streaming API around a CloudAppEvents row. */
    static Event activity(byte[] message) throws IOException {
        Event event = new Event();
        try (JsonParser parser = JSON.createParser(message)) {
            parser.nextToken();
            fields(parser, name -> {
                if (name.equals("properties")) {
                    fields(parser, column -> {
                        if (column.equals("RawEventData")) {
                            opened(parser, event::rawEventData);
                        }
                    });
                }
            });
        }
        return event;
    }

    /** A SecurityAlert row. */
    static Event alert(byte[] message) throws IOException {
        Event event = new Event();
        try (JsonParser parser = JSON.createParser(message)) {
            parser.nextToken();
            fields(parser, column -> {
                switch (column) {
                    case "SystemAlertId" -> event.id = parser.getText();
                    case "AlertType" -> event.key = parser.getText();
                    case "StartTime" -> event.start = time(parser.getText());
                    case "EndTime" -> event.end = time(parser.getText());
                    default -> { }
                }
            });
        }
        return event;
    }

    private void rawEventData(JsonParser parser) throws IOException {
        fields(parser, name -> {
            switch (name) {
                case "Id" -> id = parser.getText();
                case "CreationTime" -> start = time(parser.getText());
                case "Data" -> opened(parser, this::data);
                default -> { }
            }
        });
    }

    private void data(JsonParser parser) throws IOException {
        fields(parser, name -> {
            if (name.equals("cid") && parser.currentToken().isScalarValue() && parser.currentToken() != JsonToken.VALUE_NULL) {
                key = parser.getText();
            }
        });
    }

    private interface Visitor<T> {
        void visit(T value) throws IOException;
    }

    /** Visits each member of the current object of the parser, and skips what the visitor leaves unread. */
    private static void fields(JsonParser parser, Visitor<String> visitor) throws IOException {
        if (parser.currentToken() != JsonToken.START_OBJECT) {
            return;
        }
        while (parser.nextToken() == JsonToken.FIELD_NAME) {
            String name = parser.currentName();
            parser.nextToken();
            visitor.visit(name);
            if (parser.currentToken() == JsonToken.START_OBJECT || parser.currentToken() == JsonToken.START_ARRAY) {
                parser.skipChildren();
            }
        }
    }

    /** Visits an object, or the one inside a string; a string with other content is not an error. */
    private static void opened(JsonParser parser, Visitor<JsonParser> visitor) throws IOException {
        if (parser.currentToken() == JsonToken.START_OBJECT) {
            visitor.visit(parser);
        } else if (parser.currentToken() == JsonToken.VALUE_STRING) {
            String text = parser.getText();
            if (text.startsWith("{")) {
                try (JsonParser inner = JSON.createParser(text)) {
                    inner.nextToken();
                    visitor.visit(inner);
                }
            }
        }
    }

    /** ISO 8601 with Z, or without a zone, which means UTC. */
    private static Instant time(String text) {
        String local = text.endsWith("Z") ? text.substring(0, text.length() - 1) : text;
        return LocalDateTime.parse(local).toInstant(ZoneOffset.UTC);
    }
}
