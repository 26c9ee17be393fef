import static org.apache.spark.sql.functions.*;

import org.apache.spark.api.java.function.VoidFunction2;
import org.apache.spark.sql.*;
import org.apache.spark.sql.streaming.Trigger;

/** Spark Structured Streaming from Kafka to Cassandra, as its guides write it: the same table, rows and key. */
public class Peer {
    public static void main(String[] a) throws Exception {
        String kafka = a[0], host = a[1].split(":")[0], port = a[1].split(":")[1], topic = a[2], keyspace = a[3];
        SparkSession spark = SparkSession.builder().master("local[2]").appName("peer")
            .config("spark.ui.enabled", "false").config("spark.sql.shuffle.partitions", "4")
            .config("spark.sql.session.timeZone", "UTC")
            .config("spark.cassandra.connection.host", host).config("spark.cassandra.connection.port", port)
            .getOrCreate();
        spark.sparkContext().setLogLevel("ERROR");
        String schema = "symbol string, feed string, venue string, id string, ts long, recv_ts long, price string, "
            + "size string, conditions array<string>";
        Dataset<Row> trades = spark.readStream().format("kafka").option("kafka.bootstrap.servers", kafka)
            .option("subscribe", topic).option("startingOffsets", "earliest").option("maxOffsetsPerTrigger", "250000")
            .load().select(from_json(col("value").cast("string"), schema, new java.util.HashMap<String, String>()).as("t")).select("t.*")
            .withColumn("hour", expr("timestamp_seconds(ts div 3600000000000 * 3600)"))
            .withColumn("ts", expr("ts % 86400000000000"))
            .withColumn("price", col("price").cast("decimal(38,9)"))
            .withColumn("size", col("size").cast("decimal(38,9)")).drop("recv_ts");
        trades.writeStream().trigger(Trigger.AvailableNow())
            .foreachBatch((VoidFunction2<Dataset<Row>, Long>) (batch, id) -> {
                long start = System.nanoTime();
                batch.persist();
                long rows = batch.count();
                batch.write().format("org.apache.spark.sql.cassandra").option("keyspace", keyspace)
                    .option("table", "trades").mode("append").save();
                batch.unpersist();
                System.out.println("batch " + id + " " + rows + " rows " + (System.nanoTime() - start) / 1e9 + " s");
            }).start().awaitTermination();
    }
}
