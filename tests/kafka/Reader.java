import static java.nio.charset.StandardCharsets.UTF_8;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.utils.Utils;

/**
 * A reader that is not Wasmill's: prints the committed records of topics, from the beginning to the end that they have
 * now, as JSON lines. Keys and values that are text are printed as text, others as {"base64": ...}; absent ones as null.
 *
 *   java -cp 'lib/*' Reader.java BROKERS TOPIC...
 *   java -cp 'lib/*' Reader.java partition PARTITIONS KEY...     prints the partition that Java gives each key
 */
public final class Reader {
    public static void main(String[] args) {
        if (args[0].equals("partition")) {
            int partitions = Integer.parseInt(args[1]);
            for (int i = 2; i < args.length; i++) {
                System.out.println(Utils.toPositive(Utils.murmur2(args[i].getBytes())) % partitions);
            }
            return;
        }
        Properties properties = new Properties();
        properties.put("bootstrap.servers", args[0]);
        properties.put("isolation.level", "read_committed");
        properties.put("auto.offset.reset", "none");
        properties.put("enable.auto.commit", "false");
        ByteArrayDeserializer bytes = new ByteArrayDeserializer();
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(properties, bytes, bytes)) {
            List<TopicPartition> partitions = new ArrayList<>();
            for (int i = 1; i < args.length; i++) {
                consumer.partitionsFor(args[i]).forEach(p -> partitions.add(new TopicPartition(p.topic(), p.partition())));
            }
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            Map<TopicPartition, Long> ends = new HashMap<>(consumer.endOffsets(partitions));
            while (ends.entrySet().stream().anyMatch(end -> consumer.position(end.getKey()) < end.getValue())) {
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(200))) {
                    print(record);
                }
            }
        }
    }

    private static void print(ConsumerRecord<byte[], byte[]> record) {
        System.out.println("{\"topic\":" + text(record.topic().getBytes()) + ",\"partition\":" + record.partition()
            + ",\"offset\":" + record.offset() + ",\"key\":" + text(record.key()) + ",\"value\":" + text(record.value())
            + ",\"timestamp\":" + record.timestamp() + ",\"headers\":[" + headers(record) + "]}");
    }

    private static String headers(ConsumerRecord<byte[], byte[]> record) {
        List<String> headers = new ArrayList<>();
        record.headers().forEach(h -> headers.add("[" + text(h.key().getBytes(UTF_8)) + "," + text(h.value()) + "]"));
        return String.join(",", headers);
    }

    private static String text(byte[] bytes) {
        if (bytes == null) {
            return "null";
        }
        String text = new String(bytes, UTF_8);
        if (!Arrays.equals(text.getBytes(UTF_8), bytes)) {
            return "{\"base64\":\"" + Base64.getEncoder().encodeToString(bytes) + "\"}";
        }
        StringBuilder json = new StringBuilder("\"");
        text.chars().forEach(c -> {
            if (c == '"' || c == '\\') {
                json.append('\\').append((char) c);
            } else if (c < 0x20) {
                json.append(String.format("\\u%04x", c));
            } else {
                json.append((char) c);
            }
        });
        return json.append('"').toString();
    }
}
