//! Which partitions have the same replicas: their rows may share a batch, which any of these nodes coordinates without
//! sending rows on to others.

use market::Kind;
use market::time::MILLI;
use rustc_hash::FxHashMap;
use scylla::client::session::Session;
use scylla::cluster::ClusterState;
use scylla::routing::Token;
use scylla::routing::partitioner::{Murmur3Partitioner, Partitioner, PartitionerHasher};
use std::sync::Arc;

/// Numbers the sets of replicas of one keyspace, as the driver knows the cluster now. A wrong answer costs the coordinator a
/// message, nothing else.
pub(super) struct ReplicaSets<'k> {
    cluster: Arc<ClusterState>,
    keyspace: &'k str,
    /// By sorted host ids.
    numbers: FxHashMap<Vec<u128>, u32>,
}

impl<'k> ReplicaSets<'k> {
    pub(super) fn new(session: &Session, keyspace: &'k str) -> Self {
        Self { cluster: session.get_cluster_state(), keyspace, numbers: FxHashMap::default() }
    }

    /// The number of a partition's replicas; `None` if they are unknown.
    pub(super) fn number(&mut self, kind: Kind, symbol: &str, bucket: i64) -> Option<u32> {
        if self.cluster.get_nodes_info().len() == 1 {
            return Some(0);
        }
        let token = token(symbol, bucket);
        let replicas = self.cluster.get_token_endpoints(self.keyspace, kind.plural(), token);
        let mut hosts: Vec<u128> = replicas.iter().map(|(node, _)| node.host_id.as_u128()).collect();
        hosts.sort_unstable();
        let next = self.numbers.len() as u32;
        (!hosts.is_empty()).then(|| *self.numbers.entry(hosts).or_insert(next))
    }
}

/// The token of the partition key (symbol, bucket): of each part its length, its bytes and a zero.
fn token(symbol: &str, bucket: i64) -> Token {
    let mut hasher = Murmur3Partitioner.build_hasher();
    for part in [symbol.as_bytes(), &(bucket / MILLI).to_be_bytes()] {
        hasher.write(&(part.len() as u16).to_be_bytes());
        hasher.write(part);
        hasher.write(&[0]);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_those_of_cassandra() {
        // SELECT token(series, day) FROM readings: Cassandra 5.0.9.
        let day = 1_767_571_200_000 * MILLI;
        assert_eq!(token("d00001.t", day).value(), -836_518_200_769_157_287);
        assert_eq!(token("d00008.t", day).value(), -9_097_014_637_350_669_798);
    }
}
