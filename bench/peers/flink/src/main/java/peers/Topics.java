package peers;

import java.util.Properties;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.connector.kafka.sink.KafkaRecordSerializationSchema;
import org.apache.flink.connector.kafka.sink.KafkaSink;
import org.apache.flink.connector.kafka.sink.KafkaSinkBuilder;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.connector.kafka.source.reader.deserializer.KafkaRecordDeserializationSchema;
import org.apache.flink.util.Collector;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.OffsetResetStrategy;
import org.apache.kafka.clients.producer.ProducerRecord;

/** Reads and writes topics; a record is its key and its value. */
final class Topics {
    static final TypeInformation<byte[]> BYTES = TypeInformation.of(byte[].class);
    static final TypeInformation<Tuple2<byte[], byte[]>> RECORD = Types.TUPLE(BYTES, BYTES);
    private static final byte[] NOTHING = {};

    private Topics() {}

    static KafkaSource<Tuple2<byte[], byte[]>> source(Job job) {
        Properties settings = new Properties();
        settings.put("isolation.level", "read_committed");
        settings.put("max.poll.records", "5000");
        settings.put("max.partition.fetch.bytes", "4194304");
        return KafkaSource.<Tuple2<byte[], byte[]>>builder()
            .setBootstrapServers(job.get("brokers"))
            .setTopics(job.get("input"))
            .setGroupId(job.get("group"))
            .setStartingOffsets(OffsetsInitializer.committedOffsets(OffsetResetStrategy.EARLIEST))
            .setDeserializer(new In())
            .setProperties(settings)
            .build();
    }

    static KafkaSink<Tuple2<byte[], byte[]>> sink(Job job) {
        Properties settings = new Properties();
        settings.put("transaction.timeout.ms", "600000");
        settings.put("batch.size", "262144");
        settings.put("linger.ms", job.get("linger-ms"));
        settings.put("buffer.memory", "67108864");
        KafkaSinkBuilder<Tuple2<byte[], byte[]>> sink = KafkaSink.<Tuple2<byte[], byte[]>>builder()
            .setBootstrapServers(job.get("brokers"))
            .setKafkaProducerConfig(settings)
            .setRecordSerializer(new Out(job.get("output")));
        if (job.is("guarantee", "exactly-once")) {
            sink.setDeliveryGuarantee(DeliveryGuarantee.EXACTLY_ONCE).setTransactionalIdPrefix(job.get("group"));
        } else {
            sink.setDeliveryGuarantee(DeliveryGuarantee.AT_LEAST_ONCE);
        }
        return sink.build();
    }

    private static final class In implements KafkaRecordDeserializationSchema<Tuple2<byte[], byte[]>> {
        @Override
        public void deserialize(ConsumerRecord<byte[], byte[]> record, Collector<Tuple2<byte[], byte[]>> out) {
            out.collect(Tuple2.of(record.key() == null ? NOTHING : record.key(), record.value()));
        }

        @Override
        public TypeInformation<Tuple2<byte[], byte[]>> getProducedType() {
            return RECORD;
        }
    }

    private record Out(String topic) implements KafkaRecordSerializationSchema<Tuple2<byte[], byte[]>> {
        @Override
        public ProducerRecord<byte[], byte[]> serialize(
                Tuple2<byte[], byte[]> record, KafkaSinkContext context, Long timestamp) {
            return new ProducerRecord<>(topic, null, timestamp, record.f0, record.f1);
        }
    }
}
