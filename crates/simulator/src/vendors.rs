//! The API of each vendor.

use super::settings::SimulatedVendor;
use super::vendor_api::VendorApi;
use super::{alpaca, alpha_vantage, binance, coinbase, finnhub, kraken, massive, twelve_data, yahoo};

pub(super) fn api(vendor: SimulatedVendor) -> Box<dyn VendorApi> {
    match vendor {
        SimulatedVendor::Alpaca => Box::new(alpaca::Alpaca { crypto: false }),
        SimulatedVendor::AlpacaCrypto => Box::new(alpaca::Alpaca { crypto: true }),
        SimulatedVendor::Massive => Box::new(massive::Massive),
        SimulatedVendor::Finnhub => Box::new(finnhub::Finnhub),
        SimulatedVendor::Coinbase => Box::new(coinbase::Coinbase),
        SimulatedVendor::Kraken => Box::new(kraken::Kraken),
        SimulatedVendor::Binance => Box::new(binance::Binance),
        SimulatedVendor::AlphaVantage => Box::new(alpha_vantage::AlphaVantage),
        SimulatedVendor::TwelveData => Box::new(twelve_data::TwelveData),
        SimulatedVendor::Yahoo => Box::new(yahoo::Yahoo),
    }
}
