package peers;

import java.io.IOException;
import java.io.Reader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Properties;

/** What a contender is told: a file of name=value lines. */
final class Job {
    private final Properties properties = new Properties();

    static Job read(String path) throws IOException {
        Job job = new Job();
        try (Reader reader = Files.newBufferedReader(Path.of(path))) {
            job.properties.load(reader);
        }
        return job;
    }

    String get(String name) {
        String value = properties.getProperty(name);
        if (value == null) {
            throw new IllegalArgumentException("the job lacks " + name);
        }
        return value;
    }

    boolean is(String name, String value) {
        return get(name).equals(value);
    }
}
