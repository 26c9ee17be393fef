-- Tables for the archive's Parquet files; {schema} is filled in. Safe to repeat.
-- Column order is that of the files: COPY ... FORMAT AS PARQUET maps by position.
-- Times are nanoseconds since 1970 UTC: TIMESTAMP holds only microseconds. As a time:
--   TIMESTAMP 'epoch' + (ts_ns / 1000) * INTERVAL '1 microsecond'
-- Keys are not enforced by Redshift; load-*.sql keeps them unique.
CREATE SCHEMA IF NOT EXISTS {schema};

CREATE TABLE IF NOT EXISTS {schema}.loads (
    manifest VARCHAR(1024) NOT NULL,
    kind VARCHAR(16) NOT NULL,
    loaded_at TIMESTAMP NOT NULL DEFAULT GETDATE()
) DISTSTYLE ALL;

CREATE TABLE IF NOT EXISTS {schema}.trades (
    symbol VARCHAR(64) NOT NULL ENCODE zstd,
    ts_ns BIGINT NOT NULL ENCODE az64,
    feed VARCHAR(64) NOT NULL ENCODE zstd,
    venue VARCHAR(16) NOT NULL ENCODE zstd,
    id VARCHAR(128) NOT NULL ENCODE zstd,
    price DECIMAL(38,18) ENCODE az64,
    size DECIMAL(38,18) ENCODE az64,
    side VARCHAR(8) ENCODE zstd,
    conditions VARCHAR(256) ENCODE zstd,
    tape VARCHAR(8) ENCODE zstd,
    seq BIGINT ENCODE az64,
    recv_ns BIGINT ENCODE az64,
    revision INTEGER NOT NULL ENCODE az64,
    canceled BOOLEAN NOT NULL ENCODE raw,
    PRIMARY KEY (symbol, ts_ns, feed, venue, id)
) DISTKEY (symbol) COMPOUND SORTKEY (symbol, ts_ns);

CREATE TABLE IF NOT EXISTS {schema}.quotes (
    symbol VARCHAR(64) NOT NULL ENCODE zstd,
    ts_ns BIGINT NOT NULL ENCODE az64,
    feed VARCHAR(64) NOT NULL ENCODE zstd,
    seq BIGINT NOT NULL ENCODE az64,
    bid DECIMAL(38,18) ENCODE az64,
    bid_size DECIMAL(38,18) ENCODE az64,
    bid_venue VARCHAR(16) ENCODE zstd,
    ask DECIMAL(38,18) ENCODE az64,
    ask_size DECIMAL(38,18) ENCODE az64,
    ask_venue VARCHAR(16) ENCODE zstd,
    conditions VARCHAR(256) ENCODE zstd,
    recv_ns BIGINT ENCODE az64,
    revision INTEGER NOT NULL ENCODE az64,
    PRIMARY KEY (symbol, ts_ns, feed, seq)
) DISTKEY (symbol) COMPOUND SORTKEY (symbol, ts_ns);

CREATE TABLE IF NOT EXISTS {schema}.bars (
    symbol VARCHAR(64) NOT NULL ENCODE zstd,
    bar_interval VARCHAR(8) NOT NULL ENCODE zstd,
    start_ns BIGINT NOT NULL ENCODE az64,
    feed VARCHAR(64) NOT NULL ENCODE zstd,
    open_price DECIMAL(38,18) ENCODE az64,
    high_price DECIMAL(38,18) ENCODE az64,
    low_price DECIMAL(38,18) ENCODE az64,
    close_price DECIMAL(38,18) ENCODE az64,
    volume DECIMAL(38,18) ENCODE az64,
    vwap DECIMAL(38,18) ENCODE az64,
    trade_count BIGINT ENCODE az64,
    late_count INTEGER ENCODE az64,
    revision INTEGER NOT NULL ENCODE az64,
    is_final BOOLEAN ENCODE raw,
    is_complete BOOLEAN ENCODE raw,
    PRIMARY KEY (symbol, bar_interval, start_ns, feed)
) DISTKEY (symbol) COMPOUND SORTKEY (symbol, start_ns);
