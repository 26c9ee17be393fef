//! Commits of offsets.

use ports::Result;
use ports::batch::Partition;
use ports::topic::Consumer;

/// What to do when the topic is another one.
pub(super) const OTHER_TOPIC: &str = "the topic was deleted and created again, or is not the one that was archived: archive to a new \
                           folder or prefix";

/// Commits offsets. A refused commit costs reading messages again, which are then skipped.
pub(super) fn commit(consumer: &mut dyn Consumer, offsets: &[(Partition, i64)]) -> Result<()> {
    match consumer.commit(offsets, true) {
        Err(error) if error.retryable() => {
            tracing::info!("{error}; what is archived is skipped when it is read again");
            Ok(())
        }
        other => other,
    }
}
