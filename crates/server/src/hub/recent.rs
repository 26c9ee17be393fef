//! Recently counted records, so that a repeated message does not count twice.

use rustc_hash::FxHashSet;

/// Identities of one generation.
const GENERATION: usize = 500_000;

/// The identities of the last 500,000 to 1,000,000 records.
#[derive(Default)]
pub(crate) struct Recent {
    new: FxHashSet<u64>,
    old: FxHashSet<u64>,
}

impl Recent {
    /// Adds an identity; returns false if it is known.
    pub(crate) fn insert(&mut self, identity: u64) -> bool {
        if self.old.contains(&identity) || self.new.contains(&identity) {
            return false;
        }
        if self.new.len() >= GENERATION {
            self.old = std::mem::take(&mut self.new);
        }
        self.new.insert(identity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_are_known_for_a_generation_and_memory_is_bounded() {
        let mut recent = Recent::default();
        let all = 3 * GENERATION as u64;
        assert!((0..all).all(|identity| recent.insert(identity)));
        assert!((all - GENERATION as u64..all).all(|identity| !recent.insert(identity)));
        assert!(recent.new.len() + recent.old.len() <= 2 * GENERATION);
        assert!(recent.insert(0));
    }
}
