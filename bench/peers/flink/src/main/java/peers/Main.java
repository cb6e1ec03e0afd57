package peers;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.util.Collector;

/** The contender on Flink: runs a job on a cluster within this process until it is killed. */
public final class Main {
    private Main() {}

    public static void main(String[] arguments) throws Exception {
        Job job = Job.read(arguments[0]);
        StreamExecutionEnvironment flink = StreamExecutionEnvironment.createLocalEnvironment(settings(job));
        DataStream<Tuple2<byte[], byte[]>> input =
            flink.fromSource(Topics.source(job), WatermarkStrategy.noWatermarks(), "input", Topics.RECORD);
        computed(job.get("workload"), input).sinkTo(Topics.sink(job));
        flink.execute();
    }

    private static DataStream<Tuple2<byte[], byte[]>> computed(String workload, DataStream<Tuple2<byte[], byte[]>> input) {
        return switch (workload) {
            case "upper" -> input.map(record -> Tuple2.of(record.f0, upper(record.f1)), Topics.RECORD);
            case "words" -> input.flatMap(Main::split, Types.STRING)
                .keyBy(word -> word, Types.STRING)
                .process(new Running.Count(), Topics.RECORD);
            case "sums" -> input.keyBy(record -> ByteBuffer.wrap(record.f0).getLong(), Types.LONG)
                .process(new Running.Sum(), Topics.RECORD);
            default -> throw new IllegalArgumentException("there is no workload " + workload);
        };
    }

    private static void split(Tuple2<byte[], byte[]> line, Collector<String> words) {
        for (String word : new String(line.f1, StandardCharsets.UTF_8).split(" ")) {
            words.collect(word);
        }
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

    private static Configuration settings(Job job) {
        Configuration settings = new Configuration();
        settings.setString("parallelism.default", job.get("threads"));
        settings.setString("taskmanager.numberOfTaskSlots", job.get("threads"));
        settings.setString("pipeline.object-reuse", "true");
        settings.setString("rest.port", "0");
        settings.setString("taskmanager.memory.network.min", "64mb");
        settings.setString("taskmanager.memory.network.max", "64mb");
        // What RocksDB keeps in memory.
        settings.setString("taskmanager.memory.managed.size", "512mb");
        boolean rocksdb = job.is("state", "rocksdb");
        settings.setString("state.backend.type", rocksdb ? "rocksdb" : "hashmap");
        settings.setString("execution.checkpointing.incremental", String.valueOf(rocksdb));
        checkpoints(job, settings);
        return settings;
    }

    /** A checkpoint is what a commit is for the others. */
    private static void checkpoints(Job job, Configuration settings) {
        boolean exactly = job.is("guarantee", "exactly-once");
        settings.setString("execution.checkpointing.mode", exactly ? "EXACTLY_ONCE" : "AT_LEAST_ONCE");
        settings.setString("execution.checkpointing.interval", job.get("commit-ms") + "ms");
        settings.setString("execution.checkpointing.dir", Path.of(job.get("state-dir")).toUri().toString());
        settings.setString("execution.checkpointing.externalized-checkpoint-retention", "RETAIN_ON_CANCELLATION");
        if (!job.is("restore", "")) {
            settings.setString("execution.state-recovery.path", job.get("restore"));
        }
    }
}
