// Builds a topology from text, a statement a line, as program.ts does: the same operators, functions and options.
//   op TAB key=value TAB key=value …        e.g.  filter TAB id=3 TAB from=1 TAB name=odd
// Keys are strings or windowed strings, values strings or longs; functions work on their texts.
import java.time.Duration;
import java.util.*;
import java.util.regex.Pattern;
import org.apache.kafka.common.serialization.*;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.*;
import org.apache.kafka.streams.kstream.*;
import org.apache.kafka.streams.processor.api.*;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.*;

@SuppressWarnings({"unchecked", "rawtypes"})
class Program {
  static final Serde STRING = Serdes.String();
  static final Serde LONG = Serdes.Long();

  private final StreamsBuilder builder = new StreamsBuilder();
  private final Map<String, KStream<Object, Object>> streams = new HashMap<>();
  private final Map<String, KTable<Object, Object>> tables = new HashMap<>();
  private final Map<String, KGroupedStream<Object, Object>> grouped = new HashMap<>();
  private Map<String, String> fields;

  static Topology build(List<String> lines) {
    Program program = new Program();
    for (String line : lines) program.statement(line);
    return program.builder.build();
  }

  static String text(Object value) {
    if (value instanceof Windowed<?> w) return w.key() + "@" + w.window().start();
    return String.valueOf(value);
  }

  /** The first letter, null where there is none. */
  static String initial(Object value) {
    return value == null || text(value).isEmpty() ? null : text(value).substring(0, 1);
  }

  static String last(String text, int length) {
    return text.substring(Math.max(0, text.length() - length));
  }

  static boolean even(Object key, Object value) {
    return (text(key) + text(value)).length() % 2 == 0;
  }

  /** Remembers the last value of each key in all its stores and says what was there before. */
  static class Remember extends ContextualProcessor<Object, Object, Object, Object> {
    private final String[] names;

    Remember(String[] names) {
      this.names = names;
    }

    @Override public void process(Record<Object, Object> r) {
      String before = "";
      for (String name : names) {
        KeyValueStore<Object, Object> store = context().getStateStore(name);
        if (r.key() == null) continue;
        before += text(store.get(r.key()));
        store.put(r.key(), r.value());
      }
      context().forward(r.withValue(last(before + text(r.value()), 5)));
    }
  }

  static class RememberValues extends ContextualFixedKeyProcessor<Object, Object, Object> {
    private final String[] names;

    RememberValues(String[] names) {
      this.names = names;
    }

    @Override public void process(FixedKeyRecord<Object, Object> r) {
      String before = "";
      for (String name : names) {
        KeyValueStore<Object, Object> store = context().getStateStore(name);
        if (r.key() == null) continue;
        before += text(store.get(r.key()));
        store.put(r.key(), r.value());
      }
      context().forward(r.withValue(last(before + text(r.value()), 5)));
    }
  }

  private String get(String field) {
    return fields.get(field);
  }

  private boolean has(String field) {
    return fields.containsKey(field);
  }

  private boolean is(String field) {
    return "1".equals(get(field));
  }

  private Named named() {
    return has("name") ? Named.as(get("name")) : null;
  }

  private Grouped grouping() {
    Grouped with = Grouped.with(STRING, STRING);
    return has("name") ? with.withName(get("name")) : with;
  }

  private Consumed consumed() {
    Consumed with = Consumed.with(STRING, STRING);
    if (has("name")) with = with.withName(get("name"));
    if (has("reset")) with = with.withOffsetResetPolicy(Topology.AutoOffsetReset.valueOf(get("reset").toUpperCase()));
    return with;
  }

  /** Null where the statement has no options of a store. */
  private Materialized materialized(Serde value) {
    if (!has("store") && !has("caching") && !is("materialized")) return null;
    Materialized with = has("store") ? Materialized.as(get("store")).withKeySerde(STRING).withValueSerde(value) : Materialized.with(STRING, value);
    return "0".equals(get("caching")) ? with.withCachingDisabled() : with;
  }

  private String[] stores() {
    return has("stores") ? get("stores").split(",") : new String[0];
  }

  private static TimeWindows windows() {
    return TimeWindows.ofSizeAndGrace(Duration.ofMillis(10), Duration.ofMillis(5));
  }

  private void statement(String line) {
    String[] parts = line.split("\t");
    fields = new HashMap<>();
    for (int i = 1; i < parts.length; i++) fields.put(parts[i].substring(0, parts[i].indexOf('=')), parts[i].substring(parts[i].indexOf('=') + 1));
    String id = get("id");
    KStream<Object, Object> in = streams.get(get("from"));
    Named named = named();
    switch (parts[0]) {
      case "store" -> builder.addStateStore(Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore(get("name")), STRING, STRING));
      case "stream" -> streams.put(id, has("pattern")
          ? builder.stream(Pattern.compile(get("pattern")), consumed())
          : builder.stream(List.of(get("topics").split(",")), consumed()));
      case "table" -> {
        Materialized with = materialized(STRING);
        tables.put(id, with == null ? builder.table(get("topic"), consumed()) : builder.table(get("topic"), consumed(), with));
      }
      case "filter" -> streams.put(id, named == null ? in.filter(Program::even) : in.filter(Program::even, named));
      case "filterNot" -> streams.put(id, named == null ? in.filterNot(Program::even) : in.filterNot(Program::even, named));
      case "map" -> {
        KeyValueMapper<Object, Object, KeyValue<Object, Object>> swap = (k, v) -> KeyValue.pair(last(text(v), 5), last(text(k), 5));
        streams.put(id, named == null ? in.map(swap) : in.map(swap, named));
      }
      case "mapValues" -> {
        ValueMapper<Object, Object> mark = v -> last(text(v) + "'", 5);
        streams.put(id, named == null ? in.mapValues(mark) : in.mapValues(mark, named));
      }
      case "flatMap" -> {
        KeyValueMapper<Object, Object, Iterable<KeyValue<Object, Object>>> both =
            (k, v) -> even(k, v) ? List.of(KeyValue.pair(k, v), KeyValue.pair(v, k)) : List.of();
        streams.put(id, named == null ? in.flatMap(both) : in.flatMap(both, named));
      }
      case "flatMapValues" -> {
        ValueMapper<Object, Iterable<Object>> twice = v -> List.of(text(v), last(text(v) + "!", 5));
        streams.put(id, named == null ? in.flatMapValues(twice) : in.flatMapValues(twice, named));
      }
      case "selectKey" -> {
        KeyValueMapper<Object, Object, Object> first = (k, v) -> initial(v);
        streams.put(id, named == null ? in.selectKey(first) : in.selectKey(first, named));
      }
      case "peek" -> streams.put(id, named == null ? in.peek((k, v) -> {}) : in.peek((k, v) -> {}, named));
      case "forEach" -> {
        if (named == null) in.foreach((k, v) -> {});
        else in.foreach((k, v) -> {}, named);
      }
      case "merge" -> {
        KStream<Object, Object> other = streams.get(get("other"));
        streams.put(id, named == null ? in.merge(other) : in.merge(other, named));
      }
      case "split" -> split(in, named);
      case "repartition" -> {
        Repartitioned with = Repartitioned.with(STRING, STRING);
        streams.put(id, in.repartition(has("name") ? with.withName(get("name")) : with));
      }
      case "process" -> {
        String[] stores = stores();
        streams.put(id, named == null ? in.process(() -> new Remember(stores), stores) : in.process(() -> new Remember(stores), named, stores));
      }
      case "processValues" -> {
        String[] stores = stores();
        streams.put(id, named == null
            ? in.processValues(() -> new RememberValues(stores), stores)
            : in.processValues(() -> new RememberValues(stores), named, stores));
      }
      case "to" -> {
        Produced with = Produced.with(STRING, STRING);
        in.to(get("topic"), has("name") ? with.withName(get("name")) : with);
      }
      case "groupBy" -> grouped.put(id, in.groupBy((k, v) -> initial(v), grouping()));
      case "groupByKey" -> grouped.put(id, in.groupByKey(grouping()));
      case "count" -> {
        Materialized with = materialized(LONG);
        KGroupedStream of = grouped.get(get("from"));
        tables.put(id, named == null ? with == null ? of.count() : of.count(with) : with == null ? of.count(named) : of.count(named, with));
      }
      case "reduce" -> {
        Materialized with = materialized(STRING);
        Reducer<Object> join = (x, y) -> last(text(x) + text(y), 5);
        KGroupedStream of = grouped.get(get("from"));
        if (with == null) with = Materialized.with(STRING, STRING);
        tables.put(id, named == null ? of.reduce(join, with) : of.reduce(join, named, with));
      }
      case "aggregate" -> {
        Materialized with = materialized(STRING);
        Aggregator<Object, Object, Object> add = (k, v, a) -> last(text(a) + text(v), 5);
        Initializer<Object> empty = () -> "";
        KGroupedStream of = grouped.get(get("from"));
        if (with == null) with = Materialized.with(STRING, STRING);
        tables.put(id, named == null ? of.aggregate(empty, add, with) : of.aggregate(empty, add, named, with));
      }
      case "windowedCount" -> {
        Materialized with = materialized(LONG);
        TimeWindowedKStream of = grouped.get(get("from")).windowedBy(windows());
        tables.put(id, named == null ? with == null ? of.count() : of.count(with) : with == null ? of.count(named) : of.count(named, with));
      }
      case "tableFilter", "tableFilterNot" -> {
        Materialized with = materialized("l".equals(get("value")) ? LONG : STRING);
        KTable of = tables.get(get("from"));
        Predicate<Object, Object> even = Program::even;
        boolean not = parts[0].equals("tableFilterNot");
        if (with == null) tables.put(id, named == null ? not ? of.filterNot(even) : of.filter(even) : not ? of.filterNot(even, named) : of.filter(even, named));
        else tables.put(id, named == null
            ? not ? of.filterNot(even, with) : of.filter(even, with)
            : not ? of.filterNot(even, named, with) : of.filter(even, named, with));
      }
      case "tableMapValues" -> {
        Materialized with = materialized(STRING);
        KTable of = tables.get(get("from"));
        ValueMapper<Object, Object> mark = v -> last(text(v) + "'", 5);
        if (with == null) tables.put(id, named == null ? of.mapValues(mark) : of.mapValues(mark, named));
        else tables.put(id, named == null ? of.mapValues(mark, with) : of.mapValues(mark, named, with));
      }
      case "toStream" -> {
        KTable of = tables.get(get("from"));
        KeyValueMapper<Object, Object, Object> first = (k, v) -> initial(v);
        if (is("selects")) streams.put(id, named == null ? of.toStream(first) : of.toStream(first, named));
        else streams.put(id, named == null ? of.toStream() : of.toStream(named));
      }
      default -> throw new IllegalArgumentException(line);
    }
  }

  private void split(KStream<Object, Object> in, Named named) {
    String[] ids = get("ids").split(",");
    BranchedKStream<Object, Object> splitter = named == null ? in.split() : in.split(named);
    for (int i = 0; i < ids.length; i++) {
      String id = ids[i];
      int rest = i;
      boolean last = i == ids.length - 1;
      String name = get("branch" + i);
      java.util.function.Consumer<KStream<Object, Object>> keep = stream -> streams.put(id, stream);
      Branched<Object, Object> branched = name == null ? Branched.withConsumer(keep) : Branched.withConsumer(keep, name);
      if (last && is("default")) splitter.defaultBranch(branched);
      else splitter.branch((k, v) -> text(v).length() % 3 == rest, branched);
    }
    if (!is("default")) splitter.noDefaultBranch();
  }
}
