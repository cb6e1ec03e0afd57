package peers;

import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.List;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.processor.StateStore;
import org.apache.kafka.streams.state.BuiltInDslStoreSuppliers;

/** What is computed, in the DSL. */
final class Workloads {
    private static final Serde<byte[]> BYTES = Serdes.ByteArray();
    private static final Serde<Long> LONG = Serdes.Long();
    private static final Serde<String> STRING = Serdes.String();
    private static final byte[] NOTHING = {};

    private final Job job;

    Workloads(Job job) {
        this.job = job;
    }

    void build(StreamsBuilder builder) {
        switch (job.get("workload")) {
            case "upper" -> upper(builder);
            case "words" -> words(builder);
            case "sums" -> sums(builder);
            default -> throw new IllegalArgumentException("there is no workload " + job.get("workload"));
        }
    }

    private void upper(StreamsBuilder builder) {
        builder.stream(job.get("input"), Consumed.with(BYTES, BYTES))
            .mapValues(value -> upper(value))
            .to(job.get("output"), Produced.with(BYTES, BYTES));
    }

    private void words(StreamsBuilder builder) {
        builder.stream(job.get("input"), Consumed.with(BYTES, STRING))
            .flatMap((key, line) -> split(line))
            .groupByKey(Grouped.with(STRING, BYTES))
            .count(state(STRING, LONG))
            .toStream()
            .to(job.get("output"), Produced.with(STRING, LONG));
    }

    private void sums(StreamsBuilder builder) {
        builder.stream(job.get("input"), Consumed.with(LONG, BYTES))
            .groupByKey(Grouped.with(LONG, BYTES))
            .aggregate(() -> 0L, (key, value, sum) -> sum + amount(value), state(LONG, LONG))
            .toStream()
            .to(job.get("output"), Produced.with(LONG, LONG));
    }

    private static List<KeyValue<String, byte[]>> split(String line) {
        return Arrays.stream(line.split(" ")).map(word -> KeyValue.pair(word, NOTHING)).toList();
    }

    /** The letters behind the amount in upper case. */
    private static byte[] upper(byte[] value) {
        byte[] upper = value.clone();
        for (int at = Long.BYTES; at < upper.length; at++) {
            if (upper[at] >= 'a' && upper[at] <= 'z') {
                upper[at] -= 'a' - 'A';
            }
        }
        return upper;
    }

    private static long amount(byte[] value) {
        return ByteBuffer.wrap(value).getLong();
    }

    private <K, V, S extends StateStore> Materialized<K, V, S> state(Serde<K> key, Serde<V> value) {
        boolean memory = job.is("state", "memory");
        return Materialized.<K, V, S>with(key, value)
            .withStoreType(memory ? BuiltInDslStoreSuppliers.IN_MEMORY : BuiltInDslStoreSuppliers.ROCKS_DB);
    }
}
