import static java.nio.charset.StandardCharsets.UTF_8;

import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * A writer that is not Wasmill's.
 *
 *   java -cp 'lib/*' Writer.java compressed BROKERS TOPIC CODEC    two hundred records in batches of one compression: with headers,
 *                                                                  times of their own and tombstones, in transactions of which
 *                                                                  every other one is aborted
 *   java -cp 'lib/*' Writer.java compacted BROKERS TOPIC           records of few keys, and waits until most of them are gone
 *   java -cp 'lib/*' Writer.java keyed BROKERS TOPIC KEY...        a record of each key, where Java's default puts it
 */
public final class Writer {
    private static final int PARTITIONS = 4;
    private static final long DAY = 1_700_000_000_000L;

    public static void main(String[] args) throws Exception {
        Map<String, Object> config = new HashMap<>(Map.of("bootstrap.servers", args[1]));
        String topic = args[2];
        switch (args[0]) {
            case "compressed" -> compressed(config, topic, args[3]);
            case "compacted" -> compacted(config, topic);
            case "keyed" -> {
                create(config, topic, Map.of());
                try (var producer = producer(config)) {
                    for (String key : List.of(args).subList(3, args.length)) {
                        producer.send(new ProducerRecord<>(topic, key.getBytes(UTF_8), "from Java".getBytes(UTF_8))).get();
                    }
                }
            }
            default -> throw new IllegalArgumentException(args[0]);
        }
    }

    private static void compressed(Map<String, Object> config, String topic, String codec) throws Exception {
        create(config, topic, Map.of("message.timestamp.type", "CreateTime"));
        config.putAll(Map.of("compression.type", codec, "linger.ms", "100", "transactional.id", topic));
        try (var producer = producer(config)) {
            producer.initTransactions();
            for (int turn = 0; turn < 10; turn++) {
                producer.beginTransaction();
                for (int i = 0; i < 40; i++) {
                    boolean aborted = turn % 2 == 1;
                    String value = (aborted ? "aborted " : "a value that is long enough to be made smaller ").repeat(1 + i % 7) + turn + "." + i;
                    var key = i % 5 == 0 ? null : ("key-" + i % 11 + "-größe").getBytes(UTF_8);
                    var record = new ProducerRecord<>(topic, i % PARTITIONS, DAY + turn * 1_000L + i, key,
                        i % 10 == 7 ? null : value.getBytes(UTF_8));
                    record.headers().add(new RecordHeader("turn", String.valueOf(turn).getBytes(UTF_8)));
                    if (i % 3 == 0) {
                        record.headers().add("twice", "one".getBytes(UTF_8)).add("twice", "zwei: ß".getBytes(UTF_8));
                        record.headers().add("absent", null).add("empty", new byte[0]).add("bytes", new byte[] {(byte) 0xff, 0, 1});
                    }
                    producer.send(record);
                }
                if (turn % 2 == 1) {
                    producer.flush();
                    producer.abortTransaction();
                } else {
                    producer.commitTransaction();
                }
            }
        }
    }

    private static void compacted(Map<String, Object> config, String topic) throws Exception {
        create(config, topic, Map.of("cleanup.policy", "compact", "min.cleanable.dirty.ratio", "0.01", "segment.ms", "100",
            "max.compaction.lag.ms", "100"));
        try (var producer = producer(config); var consumer = consumer(config)) {
            List<TopicPartition> partitions = consumer.partitionsFor(topic).stream()
                .map(p -> new TopicPartition(topic, p.partition())).toList();
            consumer.assign(partitions);
            int written = 0;
            for (long deadline = System.currentTimeMillis() + 90_000; ; ) {
                if (System.currentTimeMillis() > deadline) throw new IllegalStateException("nothing was compacted");
                for (int i = 0; i < 200; i++, written++) {
                    producer.send(new ProducerRecord<>(topic, i % PARTITIONS, ("key-" + i % 20).getBytes(UTF_8),
                        String.valueOf(written).getBytes(UTF_8)));
                }
                producer.flush();
                Thread.sleep(2_000);
                consumer.seekToBeginning(partitions);
                long there = 0, end = 0;
                Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
                for (long offset : ends.values()) end += offset;
                while (ends.entrySet().stream().anyMatch(e -> consumer.position(e.getKey()) < e.getValue())) {
                    there += consumer.poll(Duration.ofMillis(200)).count();
                }
                if (there < end / 2) return;
            }
        }
    }

    private static void create(Map<String, Object> config, String topic, Map<String, String> settings) throws Exception {
        try (Admin admin = Admin.create(config)) {
            var wanted = new NewTopic(topic, Optional.of(PARTITIONS), Optional.empty()).configs(settings);
            admin.createTopics(List.of(wanted)).all().get();
        }
    }

    private static KafkaProducer<byte[], byte[]> producer(Map<String, Object> config) {
        return new KafkaProducer<>(config, new ByteArraySerializer(), new ByteArraySerializer());
    }

    private static KafkaConsumer<byte[], byte[]> consumer(Map<String, Object> config) {
        return new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }
}
