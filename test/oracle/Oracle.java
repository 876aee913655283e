// The JVM as judge: runs topologies on Kafka Streams' own TopologyTestDriver. Reads cases from standard input,
//   CASE <topology>          or  PROGRAM <number of lines>, then the lines (see Program.java)
//   CACHE <bytes>
//   RUN <number of records>  then a line per record: topic TAB key TAB value TAB timestamp TAB header   (hex, "-" for null)
// and answers with the text of describe() (hex), a line per produced record by topic in order, a line per entry of each
// store at the end, the dropped count, DONE. A record's header is named "h"; "-" is none. A program that Kafka Streams
// refuses is answered with REFUSED and the reason.
import java.io.*;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.*;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.apache.kafka.common.serialization.*;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.*;
import org.apache.kafka.streams.errors.TopologyException;
import org.apache.kafka.streams.kstream.*;
import org.apache.kafka.streams.processor.*;
import org.apache.kafka.streams.processor.api.*;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.*;
import org.apache.kafka.streams.test.TestRecord;

public class Oracle {
  static final Serde<String> S = Serdes.String();
  static final Serde<Long> L = Serdes.Long();
  static final Consumed<String, String> IN = Consumed.with(S, S);
  static final Produced<String, String> OUT = Produced.with(S, S);

  static Produced<Windowed<String>, Long> windowedLong(long size) {
    return Produced.with(WindowedSerdes.timeWindowedSerdeFrom(String.class, size), L);
  }

  static Produced<Windowed<String>, String> windowedString(long size) {
    return Produced.with(WindowedSerdes.timeWindowedSerdeFrom(String.class, size), S);
  }

  static String text(String s) {
    return s == null ? "null" : s;
  }

  static TimeWindows tumbling(long size, long grace) {
    return TimeWindows.ofSizeAndGrace(Duration.ofMillis(size), Duration.ofMillis(grace));
  }

  static <V> Materialized<String, V, KeyValueStore<Bytes, byte[]>> store(String name, Serde<V> value) {
    return Materialized.<String, V, KeyValueStore<Bytes, byte[]>>as(name).withKeySerde(S).withValueSerde(value);
  }

  static <V> Materialized<String, V, WindowStore<Bytes, byte[]>> windows(String name, Serde<V> value) {
    return Materialized.<String, V, WindowStore<Bytes, byte[]>>as(name).withKeySerde(S).withValueSerde(value);
  }

  /** Counts keys up to three, then forgets them; says what it has each 20 ms of stream time. */
  static class SeenProcessor extends ContextualProcessor<String, String, String, String> {
    private KeyValueStore<String, Long> seen;

    @Override public void init(org.apache.kafka.streams.processor.api.ProcessorContext<String, String> context) {
      super.init(context);
      seen = context.getStateStore("seen");
      context.schedule(Duration.ofMillis(20), PunctuationType.STREAM_TIME, time -> {
        try (KeyValueIterator<String, Long> all = seen.all()) {
          while (all.hasNext()) {
            KeyValue<String, Long> e = all.next();
            context.forward(new Record<>(e.key, time + ":" + e.value, time));
          }
        }
      });
    }

    @Override public void process(Record<String, String> r) {
      Long n = seen.get(r.key());
      seen.put(r.key(), n == null ? (Long) 1L : n >= 3 ? null : (Long) (n + 1));
      long offset = context().recordMetadata().get().offset();
      context().forward(r.withValue(n + "," + offset + "," + context().currentStreamTimeMs()));
    }
  }

  /** The last value of each key in windows of 10 ms, before this one. */
  static class LastProcessor extends ContextualFixedKeyProcessor<String, String, String> {
    private WindowStore<String, String> last;

    @Override public void init(FixedKeyProcessorContext<String, String> context) {
      super.init(context);
      last = context.getStateStore("last");
    }

    @Override public void process(FixedKeyRecord<String, String> r) {
      long start = r.timestamp() / 10 * 10;
      String before = last.fetch(r.key(), start);
      last.put(r.key(), r.value(), start);
      context().forward(r.withValue(text(before)).withTimestamp(r.timestamp() + 1));
    }
  }

  // The same names, operators and options as in topologies.ts.
  static Topology build(String name) {
    StreamsBuilder b = new StreamsBuilder();
    switch (name) {
      case "stateless" -> {
        KStream<String, String> in = b.stream("in", IN);
        in.filter((k, v) -> v != null && v.length() < 3)
            .map((k, v) -> KeyValue.pair(v, text(k)))
            .flatMapValues(v -> List.of(v, v + "!"))
            .selectKey((k, v) -> k + v)
            .peek((k, v) -> {})
            .merge(in.filterNot((k, v) -> v != null).mapValues((k, v) -> text(k)))
            .flatMap((k, v) -> List.of(KeyValue.pair(k, v), KeyValue.pair(v, text(k))))
            .to("out", OUT);
      }
      case "branches" -> {
        Map<String, KStream<String, String>> branches = b.stream("in", IN).split(Named.as("s-"))
            .branch((k, v) -> "x".equals(v), Branched.as("x"))
            .branch((k, v) -> k == null)
            .defaultBranch();
        branches.get("s-x").to("x", OUT);
        branches.get("s-2").to("nokey", OUT);
        branches.get("s-0").to("rest", OUT);
      }
      case "count" -> b.stream("in", IN).groupByKey(Grouped.with(S, S)).count().toStream().to("out", Produced.with(S, L));
      case "count-uncached" -> b.stream("in", IN).groupByKey(Grouped.with(S, S))
          .count(store("counts", L).withCachingDisabled()).toStream().to("out", Produced.with(S, L));
      case "reduce" -> b.stream("in", IN).groupByKey(Grouped.with(S, S)).reduce((x, y) -> x + y, store("r", S)).toStream().to("out", OUT);
      case "aggregate-repartitioned" -> b.stream("in", IN).groupBy((k, v) -> v, Grouped.with(S, S))
          .aggregate(() -> "", (k, v, a) -> (a + v).length() > 6 ? null : a + v, store("agg", S)).toStream().to("out", OUT);
      case "tumbling-count" -> b.stream("in", IN).groupByKey(Grouped.with(S, S)).windowedBy(tumbling(10, 0)).count().toStream().to("out", windowedLong(10));
      case "tumbling-grace" -> b.stream("in", IN).groupBy((k, v) -> k, Grouped.with("by", S, S)).windowedBy(tumbling(10, 7))
          .count(windows("w", L)).toStream().to("out", windowedLong(10));
      case "hopping-count" -> b.stream("in", IN).groupByKey(Grouped.with(S, S)).windowedBy(tumbling(10, 5).advanceBy(Duration.ofMillis(3)))
          .count(windows("w", L)).toStream().to("out", windowedLong(10));
      case "window-reduce" -> b.stream("in", IN).groupByKey(Grouped.with(S, S)).windowedBy(tumbling(10, 5))
          .reduce((x, y) -> y == null || x.length() > 4 ? null : x + y, windows("w", S)).toStream().to("out", windowedString(10));
      case "window-aggregate-uncached" -> b.stream("in", IN).groupByKey(Grouped.with(S, S)).windowedBy(tumbling(10, 5))
          .aggregate(() -> "", (k, v, a) -> a + text(v), windows("w", S).withCachingDisabled()).toStream().to("out", windowedString(10));
      case "table" -> b.table("in", IN).filter((k, v) -> v.length() > 1).mapValues((k, v) -> k + v).toStream().to("out", OUT);
      case "table-stored" -> b.table("in", IN, store("t", S)).filter((k, v) -> v.length() > 1, store("f", S))
          .mapValues((k, v) -> k + v, store("m", S)).toStream((k, v) -> text(v)).to("out", OUT);
      case "table-stored-uncached" -> b.table("in", IN).filterNot((k, v) -> v.length() > 1, store("f", S).withCachingDisabled()).toStream().to("out", OUT);
      case "repartition" -> b.stream("in", IN).selectKey((k, v) -> v).repartition(Repartitioned.with(S, S)).mapValues(v -> v + "!")
          .repartition(Repartitioned.<String, String>as("named").withKeySerde(S).withValueSerde(S)).to("out", OUT);
      case "same-topic-twice" -> {
        b.stream("in", IN).mapValues(v -> "1").to("one", OUT);
        b.stream("in", IN).filter((k, v) -> k != null).groupByKey(Grouped.with(S, S)).count().toStream().to("two", Produced.with(S, L));
      }
      case "process" -> {
        b.addStateStore(Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore("seen"), S, L));
        b.stream("in", IN).filter((k, v) -> k != null).process(SeenProcessor::new, "seen").to("out", OUT);
      }
      case "process-values" -> {
        b.addStateStore(Stores.windowStoreBuilder(
            Stores.persistentWindowStore("last", Duration.ofMillis(10_000_000), Duration.ofMillis(10), false), S, S));
        b.stream("in", IN).filter((k, v) -> k != null).processValues(LastProcessor::new, "last").to("out", OUT);
      }
      default -> throw new IllegalArgumentException(name);
    }
    return b.build();
  }

  static byte[] bytes(String hex) {
    return hex.equals("-") ? null : HexFormat.of().parseHex(hex);
  }

  static String hex(byte[] bytes) {
    return bytes == null ? "-" : HexFormat.of().formatHex(bytes);
  }

  static RecordHeaders headers(String hex) {
    RecordHeaders headers = new RecordHeaders();
    if (!hex.equals("-")) headers.add("h", bytes(hex));
    return headers;
  }

  static String text(org.apache.kafka.common.header.Headers headers) {
    StringBuilder text = new StringBuilder();
    for (Header h : headers) text.append('\t').append(h.key()).append('=').append(hex(h.value()));
    return text.toString();
  }

  /** All values are strings or longs. */
  static String valueHex(Object value) {
    return hex(value instanceof Long n ? L.serializer().serialize("", n) : S.serializer().serialize("", (String) value));
  }

  /** name TAB key TAB window start (0: none) TAB value TAB timestamp (-1: none) */
  static void printEntry(PrintStream out, String store, String key, long start, Object value) {
    boolean timestamped = value instanceof ValueAndTimestamp;
    Object plain = timestamped ? ((ValueAndTimestamp<?>) value).value() : value;
    long time = timestamped ? ((ValueAndTimestamp<?>) value).timestamp() : -1;
    out.println("STORE " + store + "\t" + hex(S.serializer().serialize("", key)) + "\t" + start + "\t" + valueHex(plain) + "\t" + time);
  }

  @SuppressWarnings("unchecked")
  static void printStore(PrintStream out, String name, TopologyTestDriver driver) {
    StateStore store = driver.getAllStateStores().get(name);
    if (store == null) return; // no processor uses it
    if (store instanceof KeyValueStore<?, ?>) {
      try (KeyValueIterator<String, Object> all = ((KeyValueStore<String, Object>) store).all()) {
        all.forEachRemaining(e -> printEntry(out, name, e.key, 0, e.value));
      }
    } else {
      try (KeyValueIterator<Windowed<String>, Object> all = ((WindowStore<String, Object>) store).all()) {
        all.forEachRemaining(e -> printEntry(out, name, e.key.key(), e.key.window().start(), e.value));
      }
    }
  }

  /** Null where Kafka Streams refuses the program. */
  static Topology read(BufferedReader in, PrintStream out, String line) throws IOException {
    if (line.startsWith("CASE ")) return build(line.substring("CASE ".length()));
    List<String> lines = new ArrayList<>();
    for (int left = Integer.parseInt(line.substring("PROGRAM ".length())); left > 0; left--) lines.add(in.readLine());
    try {
      return Program.build(lines);
    } catch (TopologyException refused) {
      out.println("REFUSED " + refused.getMessage());
      return null;
    }
  }

  static void run(BufferedReader in, PrintStream out, Topology topology, String cacheBytes, int records, String folder) throws IOException {
    out.println("DESCRIBE " + hex(topology.describe().toString().getBytes(StandardCharsets.UTF_8)));
    if (records == 0) return;
    Properties config = new Properties();
    config.put(StreamsConfig.APPLICATION_ID_CONFIG, "app");
    config.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, "unused:1");
    config.put(StreamsConfig.STATE_DIR_CONFIG, folder);
    config.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, cacheBytes);
    try (TopologyTestDriver driver = new TopologyTestDriver(topology, config)) {
      Map<String, TestInputTopic<byte[], byte[]>> inputs = new HashMap<>();
      for (int left = records; left > 0; left--) {
        String[] f = in.readLine().split("\t");
        inputs.computeIfAbsent(f[0], t -> driver.createInputTopic(t, new ByteArraySerializer(), new ByteArraySerializer()))
            .pipeInput(new TestRecord<>(bytes(f[1]), bytes(f[2]), headers(f[4]), Long.parseLong(f[3])));
      }
      for (String topic : new TreeSet<>(driver.producedTopicNames())) {
        for (TestRecord<byte[], byte[]> r : driver.createOutputTopic(topic, new ByteArrayDeserializer(), new ByteArrayDeserializer()).readRecordsToList()) {
          out.println("RECORD " + topic + "\t" + hex(r.key()) + "\t" + hex(r.value()) + "\t" + r.timestamp() + text(r.headers()));
        }
      }
      for (Map.Entry<String, StateStore> e : new TreeMap<>(driver.getAllStateStores()).entrySet()) printStore(out, e.getKey(), driver);
      double dropped = driver.metrics().entrySet().stream()
          .filter(e -> e.getKey().name().equals("dropped-records-total") && e.getKey().group().equals("stream-task-metrics"))
          .mapToDouble(e -> (double) e.getValue().metricValue()).sum();
      out.println("DROPPED " + (long) dropped);
    }
  }

  public static void main(String[] args) throws Exception {
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    PrintStream out = new PrintStream(new BufferedOutputStream(new FileOutputStream(FileDescriptor.out)), false);
    for (String line; (line = in.readLine()) != null; ) {
      Topology topology = read(in, out, line);
      String cacheBytes = in.readLine().substring("CACHE ".length());
      int records = Integer.parseInt(in.readLine().substring("RUN ".length()));
      if (topology != null) run(in, out, topology, cacheBytes, records, args[0]);
      else for (int left = records; left > 0; left--) in.readLine();
      out.println("DONE");
      out.flush();
    }
  }
}
