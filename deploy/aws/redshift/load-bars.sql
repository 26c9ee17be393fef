-- Loads one manifest of bars. {schema}, {manifest} (s3://...) and {role} (an IAM role's ARN) are filled in.
-- Run as one BatchExecuteStatement of the Data API: it is one transaction, so a failure leaves nothing half loaded.
-- Running it again changes nothing: rows are matched by key, and an older revision never replaces a newer one.
CREATE TEMP TABLE stage (LIKE {schema}.bars);

COPY stage FROM '{manifest}' IAM_ROLE '{role}' FORMAT AS PARQUET MANIFEST;

-- The topic delivers at least once: of each key the newest revision counts.
CREATE TEMP TABLE latest AS
SELECT symbol, bar_interval, start_ns, feed, open_price, high_price, low_price, close_price, volume, vwap, trade_count, late_count, revision, is_final, is_complete
FROM (
    SELECT symbol, bar_interval, start_ns, feed, open_price, high_price, low_price, close_price, volume, vwap, trade_count, late_count, revision, is_final, is_complete,
        ROW_NUMBER() OVER (PARTITION BY symbol, bar_interval, start_ns, feed ORDER BY revision DESC) AS place
    FROM stage
) AS ranked
WHERE place = 1;

-- MERGE in Redshift has no condition after WHEN MATCHED.
DELETE FROM latest
USING {schema}.bars
WHERE {schema}.bars.symbol = latest.symbol
    AND {schema}.bars.bar_interval = latest.bar_interval
    AND {schema}.bars.start_ns = latest.start_ns
    AND {schema}.bars.feed = latest.feed
    AND {schema}.bars.revision >= latest.revision;

MERGE INTO {schema}.bars
USING latest
ON {schema}.bars.symbol = latest.symbol
    AND {schema}.bars.bar_interval = latest.bar_interval
    AND {schema}.bars.start_ns = latest.start_ns
    AND {schema}.bars.feed = latest.feed
WHEN MATCHED THEN UPDATE SET open_price = latest.open_price, high_price = latest.high_price, low_price = latest.low_price, close_price = latest.close_price, volume = latest.volume, vwap = latest.vwap, trade_count = latest.trade_count, late_count = latest.late_count, revision = latest.revision, is_final = latest.is_final, is_complete = latest.is_complete
WHEN NOT MATCHED THEN INSERT (symbol, bar_interval, start_ns, feed, open_price, high_price, low_price, close_price, volume, vwap, trade_count, late_count, revision, is_final, is_complete) VALUES (latest.symbol, latest.bar_interval, latest.start_ns, latest.feed, latest.open_price, latest.high_price, latest.low_price, latest.close_price, latest.volume, latest.vwap, latest.trade_count, latest.late_count, latest.revision, latest.is_final, latest.is_complete);

INSERT INTO {schema}.loads (manifest, kind) VALUES ('{manifest}', 'bars');

DROP TABLE stage;

DROP TABLE latest;
