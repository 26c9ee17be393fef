//! Dashboard and REST API: HTTP and server-sent events over the topic and store ports.
//!
//! ```text
//! topics ─► hub (one reader) ─► frames, 10 a second ─► GET /api/v1/stream ─► browser
//! store  ─► queries (few at a time, each with a deadline) ─► GET /api/v1/{bars,trades,…}
//! ```
//! Everything runs on one runtime thread of its own; reads of topics and stores block, and run on other threads.
//!
//! | module | contents, in the order data flows |
//! |---|---|
//! | [`settings`] | address, token, limits |
//! | `engines` | what the server reads |
//! | `probe` | what a process reports about itself |
//! | `proof` | the comparison of source, topic and store |
//! | `hub` | the one reader of the topics, the state of each symbol, frames for streams |
//! | `query` | bounded store access and paging |
//! | `app` | state available to every handler |
//! | `http` | listener, access control, limits, replies |
//! | [`monitor`] | `/metrics`, `/health` and `/ready` |
//! | `api` | the REST API, version 1 |
//! | `compat` | TradingView's UDF and Alpaca's market data API over the same store |
//! | `assets` | the page, embedded |
//! | `threads` | the threads of all of this |
//!
//! ```no_run
//! fn serve(settings: server::ServerSettings, engines: server::Engines) -> ports::Result<()> {
//!     let cancel = ports::CancelToken::default();
//!     let server = server::Server::start(settings, engines, &cancel)?;
//!     println!("serving http://{}/", server.address());
//!     server.join()
//! }
//! ```

mod api;
mod app;
mod assets;
mod compat;
mod engines;
mod http;
mod hub;
pub mod monitor;
mod probe;
mod proof;
mod query;
pub mod settings;
mod threads;

use hub::Hub;
use ports::{CancelToken, Error, Result};
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

pub use assets::{CHARTS, CHARTS_LICENSE, CHARTS_NOTICE};
pub use engines::Engines;
pub use proof::{Proof, ProofLine, Verify};
pub use settings::ServerSettings;
use threads::thread;

/// A running server.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    threads: Vec<JoinHandle<Result<()>>>,
}

impl Server {
    /// Binds the address and starts serving.
    ///
    /// # Errors
    /// The address is in use or not allowed without a token, or a thread cannot be started.
    pub fn start(settings: ServerSettings, engines: Engines, stop: &CancelToken) -> Result<Self> {
        let settings = Arc::new(settings);
        let socket = http::listen::bind(&settings)?;
        let address =
            socket.local_addr().map_err(|error| Error::internal(format!("read the address: {error}")))?;
        let hub = Arc::new(Hub::new(&settings));
        let app = app::App::new(settings, engines, Arc::clone(&hub), stop.clone());
        let router = http::router(app.clone());
        let reader = {
            let (app, stop) = (app.clone(), stop.clone());
            thread("serve-hub", move || hub::reader::run(&app, &stop))?
        };
        let listener = {
            let stop = stop.clone();
            thread("serve-http", move || http::listen::run(socket, router, &app.settings, &stop))?
        };
        Ok(Self { address, threads: vec![reader, listener] })
    }

    /// Its listening address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits for the end after cancellation.
    ///
    /// # Errors
    /// The error that ended a thread before.
    pub fn join(self) -> Result<()> {
        for thread in self.threads {
            thread.join().map_err(|_| Error::internal("a server thread panicked"))??;
        }
        Ok(())
    }
}
