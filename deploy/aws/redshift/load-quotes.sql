-- Loads one manifest of quotes. {schema}, {manifest} (s3://...) and {role} (an IAM role's ARN) are filled in.
-- Run as one BatchExecuteStatement of the Data API: it is one transaction, so a failure leaves nothing half loaded.
-- Running it again changes nothing: rows are matched by key, and an older revision never replaces a newer one.
CREATE TEMP TABLE stage (LIKE {schema}.quotes);

COPY stage FROM '{manifest}' IAM_ROLE '{role}' FORMAT AS PARQUET MANIFEST;

-- The topic delivers at least once: of each key the newest revision counts.
CREATE TEMP TABLE latest AS
SELECT symbol, ts_ns, feed, seq, bid, bid_size, bid_venue, ask, ask_size, ask_venue, conditions, recv_ns, revision
FROM (
    SELECT symbol, ts_ns, feed, seq, bid, bid_size, bid_venue, ask, ask_size, ask_venue, conditions, recv_ns, revision,
        ROW_NUMBER() OVER (PARTITION BY symbol, ts_ns, feed, seq ORDER BY revision DESC) AS place
    FROM stage
) AS ranked
WHERE place = 1;

-- MERGE in Redshift has no condition after WHEN MATCHED.
DELETE FROM latest
USING {schema}.quotes
WHERE {schema}.quotes.symbol = latest.symbol
    AND {schema}.quotes.ts_ns = latest.ts_ns
    AND {schema}.quotes.feed = latest.feed
    AND {schema}.quotes.seq = latest.seq
    AND {schema}.quotes.revision >= latest.revision;

MERGE INTO {schema}.quotes
USING latest
ON {schema}.quotes.symbol = latest.symbol
    AND {schema}.quotes.ts_ns = latest.ts_ns
    AND {schema}.quotes.feed = latest.feed
    AND {schema}.quotes.seq = latest.seq
WHEN MATCHED THEN UPDATE SET bid = latest.bid, bid_size = latest.bid_size, bid_venue = latest.bid_venue, ask = latest.ask, ask_size = latest.ask_size, ask_venue = latest.ask_venue, conditions = latest.conditions, recv_ns = latest.recv_ns, revision = latest.revision
WHEN NOT MATCHED THEN INSERT (symbol, ts_ns, feed, seq, bid, bid_size, bid_venue, ask, ask_size, ask_venue, conditions, recv_ns, revision) VALUES (latest.symbol, latest.ts_ns, latest.feed, latest.seq, latest.bid, latest.bid_size, latest.bid_venue, latest.ask, latest.ask_size, latest.ask_venue, latest.conditions, latest.recv_ns, latest.revision);

INSERT INTO {schema}.loads (manifest, kind) VALUES ('{manifest}', 'quotes');

DROP TABLE stage;

DROP TABLE latest;
