import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;

/**
 * What the pages of the documentation ask of kafka-topics.sh and kafka-console-consumer.sh, which the jars of the tests do not
 * have: {@code topics --create} and {@code console-consumer --from-beginning} with the same options. Others are refused.
 */
public class Commands {
    public static void main(String[] arguments) throws Exception {
        Map<String, String> options = new HashMap<>();
        for (int at = 1; at < arguments.length; at++) {
            boolean alone = at + 1 == arguments.length || arguments[at + 1].startsWith("--");
            options.put(arguments[at], alone ? "" : arguments[++at]);
        }
        Map<String, Object> config = new HashMap<>(Map.of("bootstrap.servers", options.remove("--bootstrap-server")));
        String topic = options.remove("--topic");
        if (arguments[0].equals("topics")) create(config, topic, options);
        else consume(config, topic, options);
    }

    private static void create(Map<String, Object> config, String topic, Map<String, String> options) throws Exception {
        int partitions = Integer.parseInt(options.remove("--partitions"));
        require(options.remove("--create") != null && options.isEmpty(), options);
        try (Admin admin = Admin.create(config)) {
            admin.createTopics(List.of(new NewTopic(topic, Optional.of(partitions), Optional.empty()))).all().get();
        }
        System.out.println("Created topic " + topic + ".");
    }

    private static void consume(Map<String, Object> config, String topic, Map<String, String> options) {
        config.put("isolation.level", options.remove("--isolation-level"));
        long patience = Long.parseLong(options.remove("--timeout-ms"));
        boolean keys = "print.key=true".equals(options.remove("--property"));
        require(options.remove("--from-beginning") != null && options.isEmpty(), options);
        var deserializer = new StringDeserializer();
        try (var consumer = new KafkaConsumer<String, String>(config, deserializer, deserializer)) {
            var partitions = consumer.partitionsFor(topic).stream().map(p -> new TopicPartition(topic, p.partition())).toList();
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            long deadline = System.currentTimeMillis() + patience;
            while (System.currentTimeMillis() < deadline) {
                for (ConsumerRecord<String, String> record : consumer.poll(java.time.Duration.ofMillis(100))) {
                    System.out.println(keys ? record.key() + "\t" + record.value() : record.value());
                    deadline = System.currentTimeMillis() + patience;
                }
            }
        }
    }

    private static void require(boolean holds, Map<String, String> options) {
        if (!holds) throw new IllegalArgumentException("options that only Kafka's own commands have: " + options);
    }
}
