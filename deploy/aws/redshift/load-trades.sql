-- Loads one manifest of trades. {schema}, {manifest} (s3://...) and {role} (an IAM role's ARN) are filled in.
-- Run as one BatchExecuteStatement of the Data API: it is one transaction, so a failure leaves nothing half loaded.
-- Running it again changes nothing: rows are matched by key, and an older revision never replaces a newer one.
CREATE TEMP TABLE stage (LIKE {schema}.trades);

COPY stage FROM '{manifest}' IAM_ROLE '{role}' FORMAT AS PARQUET MANIFEST;

-- The topic delivers at least once: of each key the newest revision counts.
CREATE TEMP TABLE latest AS
SELECT symbol, ts_ns, feed, venue, id, price, size, side, conditions, tape, seq, recv_ns, revision, canceled
FROM (
    SELECT symbol, ts_ns, feed, venue, id, price, size, side, conditions, tape, seq, recv_ns, revision, canceled,
        ROW_NUMBER() OVER (PARTITION BY symbol, ts_ns, feed, venue, id ORDER BY revision DESC) AS place
    FROM stage
) AS ranked
WHERE place = 1;

-- MERGE in Redshift has no condition after WHEN MATCHED.
DELETE FROM latest
USING {schema}.trades
WHERE {schema}.trades.symbol = latest.symbol
    AND {schema}.trades.ts_ns = latest.ts_ns
    AND {schema}.trades.feed = latest.feed
    AND {schema}.trades.venue = latest.venue
    AND {schema}.trades.id = latest.id
    AND {schema}.trades.revision >= latest.revision;

MERGE INTO {schema}.trades
USING latest
ON {schema}.trades.symbol = latest.symbol
    AND {schema}.trades.ts_ns = latest.ts_ns
    AND {schema}.trades.feed = latest.feed
    AND {schema}.trades.venue = latest.venue
    AND {schema}.trades.id = latest.id
WHEN MATCHED THEN UPDATE SET price = latest.price, size = latest.size, side = latest.side, conditions = latest.conditions, tape = latest.tape, seq = latest.seq, recv_ns = latest.recv_ns, revision = latest.revision, canceled = latest.canceled
WHEN NOT MATCHED THEN INSERT (symbol, ts_ns, feed, venue, id, price, size, side, conditions, tape, seq, recv_ns, revision, canceled) VALUES (latest.symbol, latest.ts_ns, latest.feed, latest.venue, latest.id, latest.price, latest.size, latest.side, latest.conditions, latest.tape, latest.seq, latest.recv_ns, latest.revision, latest.canceled);

INSERT INTO {schema}.loads (manifest, kind) VALUES ('{manifest}', 'trades');

DROP TABLE stage;

DROP TABLE latest;
