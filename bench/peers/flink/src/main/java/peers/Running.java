package peers;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.util.Collector;

/** A number of each key, which every element adds to, and which goes out each time. */
abstract class Running<K, T> extends KeyedProcessFunction<K, T, Tuple2<byte[], byte[]>> {
    private transient ValueState<Long> number;

    /** The key as it is written. */
    abstract byte[] key(T element);

    /** What an element adds. */
    abstract long amount(T element);

    @Override
    public void open(OpenContext context) {
        number = getRuntimeContext().getState(new ValueStateDescriptor<>("number", Types.LONG));
    }

    @Override
    public void processElement(T element, Context context, Collector<Tuple2<byte[], byte[]>> out) throws Exception {
        Long before = number.value();
        long after = (before == null ? 0 : before) + amount(element);
        number.update(after);
        out.collect(Tuple2.of(key(element), ByteBuffer.allocate(Long.BYTES).putLong(after).array()));
    }

    /** How often each word has been there. */
    static final class Count extends Running<String, String> {
        @Override
        byte[] key(String word) {
            return word.getBytes(StandardCharsets.UTF_8);
        }

        @Override
        long amount(String word) {
            return 1;
        }
    }

    /** The sum of each key's amounts. */
    static final class Sum extends Running<Long, Tuple2<byte[], byte[]>> {
        @Override
        byte[] key(Tuple2<byte[], byte[]> record) {
            return record.f0;
        }

        @Override
        long amount(Tuple2<byte[], byte[]> record) {
            return ByteBuffer.wrap(record.f1).getLong();
        }
    }
}
