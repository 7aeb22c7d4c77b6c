// SPDX-License-Identifier: BSD-3-Clause

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Random;
import org.apache.kafka.common.utils.Utils;

/**
 * Prints murmur2_vectors.txt with Kafka's own Java client: a key in hex, its murmur2,
 * and its partition of 5, 25, 50 and 100.
 *
 * <pre>java -cp kafka-clients-4.4.0.jar tests/data/Murmur2Vectors.java</pre>
 *
 * It needs a JDK; the jar is among those that tools/kafka fetches.
 */
class Murmur2Vectors {
    public static void main(String[] args) {
        List<byte[]> keys = new ArrayList<>();
        keys.add(new byte[0]);
        for (int i = 0; i < 200; i++)
            keys.add(("user_" + i).getBytes(StandardCharsets.UTF_8));
        for (String s : new String[] {"é", "日本語", "\uD83D\uDE00", "a b", "\u00ff\u0100"})
            keys.add(s.getBytes(StandardCharsets.UTF_8));
        // Every length up to the longest user id, and bytes whose sign matters.
        Random random = new Random(20261125);
        for (int n = 1; n <= 128; n++) {
            byte[] key = new byte[n];
            random.nextBytes(key);
            keys.add(key);
        }
        for (byte[] key : keys) {
            int hash = Utils.murmur2(key);
            StringBuilder line = new StringBuilder();
            line.append(key.length == 0 ? "-" : HexFormat.of().formatHex(key));
            line.append(' ').append(hash);
            for (int partitions : new int[] {5, 25, 50, 100})
                line.append(' ').append(Utils.toPositive(hash) % partitions);
            System.out.println(line);
        }
    }
}
