import java.util.Map;
import java.util.Properties;
import java.util.UUID;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.consumer.ConsumerGroupMetadata;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * What the older of two producers of one transactional id is told, step by step. Arguments: brokers, topic.
 * Prints a line a case: the step, then the classes of the exceptions from the outside in.
 */
public class Fenced {
    interface Step {
        void run() throws Exception;
    }

    public static void main(String[] args) {
        for (String step : new String[] {"send", "commit", "abort", "offsets", "begin"}) {
            String id = UUID.randomUUID().toString();
            try (var older = producer(args[0], id); var newer = producer(args[0], id)) {
                var record = new ProducerRecord<>(args[1], "k", "v");
                older.initTransactions();
                older.beginTransaction();
                if (!step.equals("begin")) {
                    older.send(record);
                    older.flush();
                } else {
                    older.abortTransaction();
                }
                newer.initTransactions();
                newer.beginTransaction();
                newer.send(record);
                newer.flush();
                System.out.println(step + ": " + told(switch (step) {
                    case "send" -> () -> older.send(record).get();
                    case "commit" -> () -> older.commitTransaction();
                    case "abort" -> () -> older.abortTransaction();
                    case "offsets" -> () -> older.sendOffsetsToTransaction(
                        Map.of(new TopicPartition(args[1], 0), new OffsetAndMetadata(1)), new ConsumerGroupMetadata(id));
                    default -> () -> {
                        older.beginTransaction();
                        older.send(record).get();
                    };
                }));
                System.out.println(step + ", then abort: " + told(() -> older.abortTransaction()));
                System.out.println(step + ", then the newer one commits: " + told(() -> newer.commitTransaction()));
            }
        }
    }

    static String told(Step step) {
        try {
            step.run();
            return "nothing";
        } catch (Exception exception) {
            var names = new StringBuilder();
            for (Throwable t = exception; t != null; t = t.getCause())
                if (!(t instanceof ExecutionException)) names.append(names.length() == 0 ? "" : " < ").append(t.getClass().getSimpleName());
            return names.toString();
        }
    }

    static KafkaProducer<String, String> producer(String brokers, String id) {
        var config = new Properties();
        config.put("bootstrap.servers", brokers);
        config.put("transactional.id", id);
        config.put("delivery.timeout.ms", "20000");
        config.put("request.timeout.ms", "10000");
        config.put("max.block.ms", "20000");
        return new KafkaProducer<>(config, new StringSerializer(), new StringSerializer());
    }
}
