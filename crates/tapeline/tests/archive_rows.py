"""What DuckDB reads in an archive in a folder, by its manifests, as docs/archive.md says: number of trades and sum of their sizes.
Fails if a message is there twice, or one is missing."""
import sys

import duckdb

FILES = """
SET VARIABLE files = (
    WITH manifests AS (SELECT topic, "partition" AS part, "first" AS low, "last" AS high, objects
        FROM read_json('$folder/_manifests/*/*/*.json', union_by_name = true)),
    whole AS (SELECT * FROM manifests AS a WHERE NOT EXISTS (SELECT 1 FROM manifests AS b
        WHERE b.topic = a.topic AND b.part = a.part AND b.low <= a.low AND a.high <= b.high AND (b.low, b.high) <> (a.low, a.high)))
    SELECT list('$folder/' || object.name) FROM (SELECT unnest(objects) AS object FROM whole) WHERE object.kind = 'trades')
"""

folder = sys.argv[1]
database = duckdb.connect()
database.execute(FILES.replace("$folder", folder))
rows = "read_parquet(getvariable('files'), hive_partitioning = true)"
count, different, size = database.execute(
    f"SELECT count(*), count(DISTINCT (topic_partition, topic_offset)), sum(size) FROM {rows}").fetchone()
assert count == different, f"{count} records, {different} different messages"
for partition, low, high, count_of in database.execute(
        f"SELECT topic_partition, min(topic_offset), max(topic_offset), count(*) FROM {rows} GROUP BY 1").fetchall():
    assert low == 0 or low == 1, f"partition {partition} begins at {low}"
    assert high - low + 1 == count_of, f"partition {partition}: offsets {low} to {high}, {count_of} records"
print(count, size)
