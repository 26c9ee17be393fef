//! A simulation: the API, the state it reads, and the sessions of its clients.

use super::handle::Handle;
use super::shared::Shared;
use super::vendor_api::VendorApi;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What all threads of a simulator share.
#[derive(Debug)]
pub(super) struct Simulation {
    pub(super) api: Box<dyn VendorApi>,
    pub(super) shared: Shared,
    sessions: Mutex<Vec<Handle>>,
}

impl Simulation {
    /// Without a client.
    pub(super) fn new(api: Box<dyn VendorApi>, shared: Shared) -> Self {
        Self { api, shared, sessions: Mutex::default() }
    }

    /// The sessions that are open.
    pub(super) fn sessions(&self) -> MutexGuard<'_, Vec<Handle>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
