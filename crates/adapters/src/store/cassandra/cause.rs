//! Why a request failed, and whose fault that is.

use ports::Error;
use scylla::errors::{DbError, ExecutionError, PrepareError, RequestAttemptError};

/// Classifies the cause of a failed request: missing schema and missing permissions are the user's to fix.
pub(super) fn explain(place: &str, error: &ExecutionError) -> Error {
    let what = format!("{place}: {error}");
    let database = match error {
        ExecutionError::LastAttemptError(RequestAttemptError::DbError(database, message)) => {
            Some((database, message))
        }
        ExecutionError::PrepareError(PrepareError::AllAttemptsFailed {
            first_attempt: RequestAttemptError::DbError(database, message),
        }) => Some((database, message)),
        _ => None,
    };
    let explained = match database {
        Some((DbError::Unauthorized, message)) => Error::user(format!("{place}: {message}"))
            .hint("grant the account SELECT, MODIFY and CREATE on the keyspace"),
        Some((DbError::Invalid | DbError::ConfigError, message))
            if message.contains("does not exist") || message.contains("unconfigured") =>
        {
            Error::user(format!("{place}: {message}"))
                .hint("create keyspace and tables: tapeline init --store cassandra://HOST:PORT/KEYSPACE")
        }
        Some((DbError::Overloaded | DbError::WriteTimeout { .. } | DbError::ReadTimeout { .. }, message)) => {
            Error::external(format!("{place}: {message}")).hint(
                "the cluster is overloaded; Amazon Keyspaces throttles so: a partition takes 1,000 writes of 1 KB a second",
            )
        }
        Some((DbError::Unavailable { .. }, message)) => Error::external(format!("{place}: {message}"))
            .hint("too few replicas are up for the requested consistency"),
        _ => Error::external(what),
    };
    explained.because(error.clone())
}

/// A statement that the cluster understands and rejects is not retried: a wrong replication factor stays wrong.
pub(super) fn refused(place: &str, error: &ExecutionError) -> Error {
    match error {
        ExecutionError::LastAttemptError(RequestAttemptError::DbError(
            DbError::Invalid | DbError::ConfigError | DbError::SyntaxError,
            message,
        )) => Error::user(format!("{place}: {message}"))
            .hint("check [store.cassandra] in the configuration: replication, retention_days")
            .because(error.clone()),
        _ => explain(place, error),
    }
}

/// Whether the request itself was rejected, so that an unchanged retry can never succeed.
pub(super) fn is_invalid(error: &ExecutionError) -> bool {
    matches!(
        error,
        ExecutionError::BadQuery(_)
            | ExecutionError::LastAttemptError(
                RequestAttemptError::SerializationError(_)
                    | RequestAttemptError::DbError(
                        DbError::Invalid | DbError::ConfigError | DbError::SyntaxError,
                        _
                    )
            )
    )
}
