import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.InputStreamReader;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericDatumWriter;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.io.EncoderFactory;

/** Each line, `writer's schema TAB reader's schema TAB value in hex`, is answered with what the reader makes of it, in hex, or `ERROR`. */
public class AvroJudge {
    public static void main(String[] args) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, "UTF-8"));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            String[] parts = line.split("\t", -1);
            String answer;
            try {
                Schema writer = new Schema.Parser().setValidateDefaults(false).parse(parts[0]);
                Schema reader = new Schema.Parser().setValidateDefaults(false).parse(parts[1]);
                byte[] bytes = HexFormat.of().parseHex(parts[2]);
                Object value = new Ordered(writer, reader)
                        .read(null, DecoderFactory.get().binaryDecoder(bytes, null));
                ByteArrayOutputStream out = new ByteArrayOutputStream();
                var encoder = EncoderFactory.get().binaryEncoder(out, null);
                new GenericDatumWriter<Object>(reader).write(value, encoder);
                encoder.flush();
                answer = HexFormat.of().formatHex(out.toByteArray());
            } catch (RuntimeException | java.io.IOException error) {
                answer = "ERROR " + String.valueOf(error.getMessage()).replace('\n', ' ');
            }
            System.out.println(answer);
        }
    }

    /** Maps keep the order of their bytes. */
    static class Ordered extends GenericDatumReader<Object> {
        Ordered(Schema writer, Schema reader) {
            super(writer, reader);
        }

        @Override
        protected Object newMap(Object old, int size) {
            return new LinkedHashMap<Object, Object>(size);
        }
    }
}
