package peers;

import java.io.IOException;
import java.util.Properties;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;

/** The contender on Kafka Streams: runs a job until it is killed. */
public final class Main {
    private Main() {}

    public static void main(String[] arguments) throws IOException {
        Job job = Job.read(arguments[0]);
        Properties settings = settings(job);
        StreamsBuilder builder = new StreamsBuilder();
        new Workloads(job).build(builder);
        KafkaStreams streams = new KafkaStreams(builder.build(settings), settings);
        streams.setUncaughtExceptionHandler(error -> {
            error.printStackTrace();
            return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
        streams.start();
    }

    private static Properties settings(Job job) {
        Properties settings = new Properties();
        settings.put("application.id", job.get("group"));
        settings.put("bootstrap.servers", job.get("brokers"));
        settings.put("processing.guarantee", job.is("guarantee", "exactly-once") ? "exactly_once_v2" : "at_least_once");
        settings.put("num.stream.threads", job.get("threads"));
        settings.put("commit.interval.ms", job.get("commit-ms"));
        settings.put("state.dir", job.get("state-dir"));
        settings.put("auto.offset.reset", "earliest");
        settings.put("topology.optimization", "all");
        // Each update goes out, as with the others: the cache would keep back all but the last of a commit.
        settings.put("statestore.cache.max.bytes", "0");
        // A process that comes back has its partitions at once.
        settings.put("consumer.group.instance.id", "0");
        // For throughput: larger polls and batches than the defaults.
        settings.put("max.poll.records", "5000");
        settings.put("consumer.max.partition.fetch.bytes", "4194304");
        settings.put("producer.batch.size", "262144");
        settings.put("producer.linger.ms", job.get("linger-ms"));
        settings.put("producer.buffer.memory", "67108864");
        return settings;
    }
}
