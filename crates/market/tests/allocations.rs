//! Decoding a stream's frames allocates nothing per trade, once the decoder's memory has reached its size.
#![allow(unsafe_code, reason = "an allocator that counts")]

use market::UnixNanos;
use market::codec::feed::{Decode, FeedMessage};
use market::codec::{alpaca, binance, coinbase, finnhub, kraken, massive};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

struct Counting;

static COUNT: AtomicUsize = AtomicUsize::new(0);

// SAFETY: forwards everything to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const TRADES: usize = 100;

fn frame(vendor: &str, round: usize) -> String {
    let trades: Vec<String> = (0..TRADES)
        .map(|n| {
            let each = if vendor == "binance" { 1 } else { TRADES };
            let (id, price) = (round * each + n, format!("{}.{n:02}", 100 + round % 7));
            let ms = 1_536_036_818_000_u64 + round as u64 * 1_000 + n as u64;
            match vendor {
                "alpaca" => format!(r#"{{"T":"t","S":"SPY","i":{id},"x":"V","p":{price},"s":90,"c":["@","I"],"z":"C","t":"2021-01-27T10:35:34.82840127Z"}}"#),
                "massive" => format!(r#"{{"ev":"T","sym":"SPY","x":4,"i":"{id}","z":3,"p":{price},"s":100,"c":[0,12],"t":{ms},"q":{id}}}"#),
                "finnhub" => format!(r#"{{"c":["1","8"],"p":{price},"s":"SPY","t":{ms},"v":1}}"#),
                "coinbase" => format!(r#"{{"trade_id":"{id}","product_id":"SPY","price":"{price}","size":"0.0015","side":"BUY","time":"2024-06-12T15:02:29.662467Z"}}"#),
                "kraken" => format!(r#"{{"symbol":"SPY","side":"buy","price":{price},"qty":0.00027625,"ord_type":"market","trade_id":{id},"timestamp":"2025-05-28T13:39:36.123456Z"}}"#),
                _ => format!(r#"{{"stream":"spy@trade","data":{{"e":"trade","E":{ms},"s":"SPY","t":{id},"p":"{price}","q":"1","T":{ms},"m":true,"M":true}}}}"#),
            }
        })
        .collect();
    let list = trades.join(",");
    match vendor {
        "finnhub" => format!(r#"{{"data":[{list}],"type":"trade"}}"#),
        "coinbase" => format!(
            r#"{{"channel":"market_trades","sequence_num":{round},"events":[{{"type":"update","trades":[{list}]}}]}}"#
        ),
        "kraken" => format!(r#"{{"channel":"trade","type":"update","data":[{list}]}}"#),
        "binance" => trades[0].clone(),
        _ => format!("[{list}]"),
    }
}

#[test]
fn a_trade_costs_no_allocation() {
    let decoders: [(&str, Box<dyn Decode>); 6] = [
        ("alpaca", Box::new(alpaca::AlpacaDecoder::new("f"))),
        ("massive", Box::new(massive::MassiveDecoder::new("f"))),
        ("finnhub", Box::new(finnhub::FinnhubDecoder::new("f"))),
        ("coinbase", Box::new(coinbase::CoinbaseDecoder::new("f"))),
        ("kraken", Box::new(kraken::KrakenDecoder::new("f"))),
        ("binance", Box::new(binance::BinanceDecoder::new("f"))),
    ];
    for (vendor, mut decoder) in decoders {
        // The memory of 200,000 trades grows until then.
        let frames: Vec<String> = (0..2_600).map(|round| frame(vendor, round)).collect();
        let (warm, measured) = frames.split_at(2_400);
        let mut records = 0;
        let mut read = |frames: &[String]| {
            for frame in frames {
                decoder
                    .frame(frame, UnixNanos(1), &mut |outcome, _| {
                        records += usize::from(matches!(outcome, Ok(FeedMessage::Record(_))));
                    })
                    .unwrap();
            }
        };
        read(warm);
        let before = COUNT.load(Ordering::Relaxed);
        read(measured);
        let allocations = COUNT.load(Ordering::Relaxed) - before;
        let each = if vendor == "binance" { 1 } else { TRADES };
        assert_eq!(records, frames.len() * each, "{vendor}");
        assert_eq!(allocations, 0, "{vendor}: of {} trades", measured.len() * each);
    }
}
