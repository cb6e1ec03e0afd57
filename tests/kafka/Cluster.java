import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ListOffsetsOptions;
import org.apache.kafka.clients.admin.ListTopicsOptions;
import org.apache.kafka.clients.admin.ListTransactionsOptions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.admin.TransactionState;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.ElectionType;
import org.apache.kafka.common.IsolationLevel;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.ElectionNotNeededException;

/**
 * What is asked of a cluster and changed in it by a client that is not Wasmill's, as kafka-consumer-groups.sh and its like do
 * it. Answers are JSON lines.
 *
 *   java -cp 'lib/*' Cluster.java group BROKERS GROUP              the group's committed offsets, with their metadata
 *   java -cp 'lib/*' Cluster.java ends BROKERS TOPIC...            where partitions begin, where they are stable, and end
 *   java -cp 'lib/*' Cluster.java describe BROKERS TOPIC...        replication, and the least replicas in sync
 *   java -cp 'lib/*' Cluster.java balance BROKERS                  waits until all replicas are in sync, and elects preferred leaders
 *   java -cp 'lib/*' Cluster.java decided BROKERS                  waits until no transaction is being committed or aborted
 *   java -cp 'lib/*' Cluster.java reset BROKERS GROUP TOPIC        commits offset 0 for a topic, as --reset-offsets --to-earliest
 *   java -cp 'lib/*' Cluster.java recreate BROKERS TOPIC           deletes a topic and makes it anew
 *   java -cp 'lib/*' Cluster.java delete-records BROKERS TOPIC     deletes what a topic has now
 *   java -cp 'lib/*' Cluster.java set BROKERS NAME VALUE TOPIC...  sets a setting of topics
 */
public final class Cluster {
    public static void main(String[] args) throws Exception {
        List<String> rest = Arrays.asList(args).subList(2, args.length);
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", args[1]))) {
            switch (args[0]) {
                case "group" -> group(admin, rest.get(0));
                case "ends" -> ends(admin, rest);
                case "describe" -> describe(admin, rest);
                case "balance" -> balance(admin);
                case "decided" -> decided(admin);
                case "reset" -> reset(admin, rest.get(0), rest.get(1));
                case "recreate" -> recreate(admin, rest.get(0));
                case "delete-records" -> deleteRecords(admin, rest.get(0));
                case "set" -> set(admin, rest.get(0), rest.get(1), rest.subList(2, rest.size()));
                default -> throw new IllegalArgumentException(args[0]);
            }
        }
    }

    private static void group(Admin admin, String group) throws Exception {
        var offsets = admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get();
        offsets.forEach((partition, offset) -> System.out.println(place(partition) + ",\"offset\":" + offset.offset()
            + ",\"metadata\":\"" + offset.metadata() + "\"}"));
    }

    private static void ends(Admin admin, Collection<String> topics) throws Exception {
        var partitions = partitions(admin, topics);
        var first = offsets(admin, partitions, OffsetSpec.earliest(), IsolationLevel.READ_UNCOMMITTED);
        var stable = offsets(admin, partitions, OffsetSpec.latest(), IsolationLevel.READ_COMMITTED);
        var end = offsets(admin, partitions, OffsetSpec.latest(), IsolationLevel.READ_UNCOMMITTED);
        for (TopicPartition partition : partitions) {
            System.out.println(place(partition) + ",\"first\":" + first.get(partition) + ",\"stable\":" + stable.get(partition)
                + ",\"end\":" + end.get(partition) + "}");
        }
    }

    private static void describe(Admin admin, Collection<String> topics) throws Exception {
        for (TopicDescription topic : admin.describeTopics(topics).allTopicNames().get().values()) {
            int replicas = topic.partitions().stream().mapToInt(partition -> partition.replicas().size()).min().getAsInt();
            String inSync = config(admin, topic.name()).get("min.insync.replicas").value();
            System.out.println("{\"topic\":\"" + topic.name() + "\",\"replicas\":" + replicas + ",\"in-sync\":" + inSync + "}");
        }
    }

    private static void balance(Admin admin) throws Exception {
        boolean inSync = false;
        for (long deadline = System.currentTimeMillis() + 90_000; !inSync;) {
            if (System.currentTimeMillis() > deadline) throw new IllegalStateException("replicas do not get in sync");
            Set<String> topics = admin.listTopics(new ListTopicsOptions().listInternal(true)).names().get();
            inSync = admin.describeTopics(topics).allTopicNames().get().values().stream().flatMap(t -> t.partitions().stream())
                .allMatch(partition -> partition.leader() != null && partition.isr().size() == partition.replicas().size());
            if (!inSync) Thread.sleep(200);
        }
        for (var failed : admin.electLeaders(ElectionType.PREFERRED, null).partitions().get().entrySet()) {
            Throwable error = failed.getValue().orElse(null);
            if (error != null && !(error instanceof ElectionNotNeededException)) throw new IllegalStateException(error);
        }
    }

    private static void decided(Admin admin) throws Exception {
        var undecided = new ListTransactionsOptions()
            .filterStates(List.of(TransactionState.PREPARE_COMMIT, TransactionState.PREPARE_ABORT));
        while (!admin.listTransactions(undecided).all().get().isEmpty()) Thread.sleep(50);
    }

    private static void reset(Admin admin, String group, String topic) throws Exception {
        Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
        partitions(admin, List.of(topic)).forEach(partition -> offsets.put(partition, new OffsetAndMetadata(0)));
        admin.alterConsumerGroupOffsets(group, offsets).all().get();
    }

    private static void recreate(Admin admin, String topic) throws Exception {
        int partitions = partitions(admin, List.of(topic)).size();
        Map<String, String> settings = new HashMap<>();
        config(admin, topic).entries().stream().filter(entry -> !entry.isDefault())
            .forEach(entry -> settings.put(entry.name(), entry.value()));
        admin.deleteTopics(List.of(topic)).all().get();
        while (admin.listTopics().names().get().contains(topic)) Thread.sleep(50);
        admin.createTopics(List.of(new NewTopic(topic, partitions, (short) -1).configs(settings))).all().get();
    }

    private static void set(Admin admin, String name, String value, List<String> topics) throws Exception {
        AlterConfigOp op = new AlterConfigOp(new ConfigEntry(name, value), AlterConfigOp.OpType.SET);
        Map<ConfigResource, Collection<AlterConfigOp>> changes = new HashMap<>();
        for (String topic : topics) {
            changes.put(new ConfigResource(ConfigResource.Type.TOPIC, topic), List.of(op));
        }
        admin.incrementalAlterConfigs(changes).all().get();
    }

    private static void deleteRecords(Admin admin, String topic) throws Exception {
        Map<TopicPartition, RecordsToDelete> before = new HashMap<>();
        partitions(admin, List.of(topic)).forEach(partition -> before.put(partition, RecordsToDelete.beforeOffset(-1)));
        admin.deleteRecords(before).all().get();
    }

    private static List<TopicPartition> partitions(Admin admin, Collection<String> topics) throws Exception {
        List<TopicPartition> partitions = new ArrayList<>();
        admin.describeTopics(topics).allTopicNames().get().values().forEach(topic ->
            topic.partitions().forEach(partition -> partitions.add(new TopicPartition(topic.name(), partition.partition()))));
        return partitions;
    }

    private static Map<TopicPartition, Long> offsets(Admin admin, List<TopicPartition> partitions, OffsetSpec which,
            IsolationLevel isolation) throws Exception {
        Map<TopicPartition, OffsetSpec> wanted = new HashMap<>();
        partitions.forEach(partition -> wanted.put(partition, which));
        Map<TopicPartition, Long> offsets = new HashMap<>();
        admin.listOffsets(wanted, new ListOffsetsOptions(isolation)).all().get()
            .forEach((partition, offset) -> offsets.put(partition, offset.offset()));
        return offsets;
    }

    private static Config config(Admin admin, String topic) throws Exception {
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        return admin.describeConfigs(List.of(resource)).all().get().get(resource);
    }

    private static String place(TopicPartition partition) {
        return "{\"topic\":\"" + partition.topic() + "\",\"partition\":" + partition.partition();
    }
}
