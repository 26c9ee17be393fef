//! State available to every handler.

use crate::engines::Engines;
use crate::http::rates::Rates;
use crate::hub::Hub;
use crate::proof::Verification;
use crate::settings::ServerSettings;
use ports::CancelToken;
use ports::topic::Producer;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::Semaphore;

/// The producer of all requests, opened by the first one, and again after an error.
pub(crate) type Writer = Arc<tokio::sync::Mutex<Option<Box<dyn Producer>>>>;

/// State available to every handler.
#[derive(Clone)]
pub(crate) struct App(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) settings: Arc<ServerSettings>,
    pub(crate) engines: Engines,
    pub(crate) hub: Arc<Hub>,
    pub(crate) stop: CancelToken,
    pub(crate) rates: Rates,
    pub(crate) queries: Arc<Semaphore>,
    pub(crate) verification: Verification,
    pub(crate) started: Instant,
    pub(crate) writer: Writer,
}

impl Deref for App {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl App {
    pub(crate) fn new(
        settings: Arc<ServerSettings>,
        engines: Engines,
        hub: Arc<Hub>,
        stop: CancelToken,
    ) -> Self {
        let queries = Arc::new(Semaphore::new(settings.limits.queries));
        Self(Arc::new(Inner {
            settings,
            engines,
            hub,
            stop,
            rates: Rates::default(),
            queries,
            verification: Verification::default(),
            started: Instant::now(),
            writer: Writer::default(),
        }))
    }
}
