//! Explains why no session could be opened: the driver's error, and what to set.

use crate::refusal::Refusal;
use ports::Error;
use scylla::errors::{
    BrokenConnectionErrorKind, ConnectionError, ConnectionPoolError, ConnectionSetupRequestErrorKind,
    DbError, MetadataError, NewSessionError,
};
use scylla::frame::frame_errors::FrameHeaderParseError;

/// A rejected handshake or login is the user's to fix; an unreachable node may recover.
pub(super) fn explain(place: &str, error: &NewSessionError, is_tls: bool) -> Error {
    if let NewSessionError::FailedToResolveAnyHostname(hosts) = error {
        return Error::external(format!("{place}: no address for {}", hosts.join(", ")))
            .hint("is the host name right, and does the DNS know it?");
    }
    let away = |why: &str| {
        Error::external(format!("{place}: no node responds{why}"))
            .hint("is Cassandra running, and are host and port right? without a server: --store sqlite:FILE")
    };
    let NewSessionError::MetadataError(MetadataError::ConnectionPoolError(ConnectionPoolError::Broken {
        last_connection_error: last,
    })) = error
    else {
        return Error::external(format!("{place}: {error}"));
    };
    if let Some(DbError::AuthenticationError) = database(last).map(|(error, _)| error) {
        let message = database(last).map_or("", |(_, message)| message);
        return Error::user(format!("{place}: the node refused the login: {message}"))
            .hint("set `store.cassandra.username` and TAPELINE__STORE__CASSANDRA__PASSWORD")
            .because(Refusal::Login);
    }
    if let ConnectionError::ConnectionSetupRequestError(error) = last
        && matches!(error.get_error(), ConnectionSetupRequestErrorKind::MissingAuthentication)
    {
        return Error::user(format!("{place}: the node demands a login"))
            .hint("set `store.cassandra.username` and TAPELINE__STORE__CASSANDRA__PASSWORD")
            .because(Refusal::Login);
    }
    if let ConnectionError::ConnectionSetupRequestError(error) = last
        && let ConnectionSetupRequestErrorKind::AuthChallengeEvaluationError(reason) = error.get_error()
    {
        return Error::external(format!("{place}: the login could not be signed: {reason}"))
            .because(Refusal::Login);
    }
    if let Some(reason) = handshake(last) {
        return Error::user(format!("{place}: the TLS handshake failed: {reason}"))
            .hint(ports::tls::handshake_hint("store.cassandra.tls", &reason))
            .because(Refusal::Handshake);
    }
    match last {
        ConnectionError::IoError(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            away(" (connection refused)")
        }
        ConnectionError::ConnectTimeout => away(" within 5 s"),
        ConnectionError::IoError(_) => away(&format!(" ({})", root(last))),
        // A node that requires TLS closes a connection that starts with anything else.
        ConnectionError::ConnectionSetupRequestError(_) | ConnectionError::BrokenConnection(_) if !is_tls => {
            Error::external(format!("{place}: the connection was closed during the first request"))
                .hint("the port may demand TLS ([store.cassandra.tls] enabled = true) or not be Cassandra's")
        }
        _ => Error::external(format!("{place}: {}", root(last))),
    }
}

/// The server's response, if there was one.
fn database(error: &ConnectionError) -> Option<(&DbError, &str)> {
    match error {
        ConnectionError::ConnectionSetupRequestError(error) => match error.get_error() {
            ConnectionSetupRequestErrorKind::DbError(error, message) => Some((error, message)),
            _ => None,
        },
        _ => None,
    }
}

/// OpenSSL's reason, if the handshake failed.
fn handshake(error: &ConnectionError) -> Option<String> {
    let mut text = None;
    let mut look = |error: &std::io::Error| {
        let inner = error.get_ref()?.downcast_ref::<openssl::ssl::Error>()?;
        text = Some(match inner.ssl_error().and_then(|stack| stack.errors().first()?.reason()) {
            Some(reason) => reason.to_owned(),
            None => inner.to_string(),
        });
        Some(())
    };
    match error {
        ConnectionError::IoError(error) => {
            look(error);
        }
        ConnectionError::BrokenConnection(broken) => {
            look(io(broken.downcast_ref()?)?);
        }
        ConnectionError::ConnectionSetupRequestError(error) => {
            if let ConnectionSetupRequestErrorKind::BrokenConnection(broken) = error.get_error() {
                look(io(broken.downcast_ref()?)?);
            }
        }
        _ => {}
    }
    text
}

/// The I/O error within a broken connection.
fn io(kind: &BrokenConnectionErrorKind) -> Option<&std::io::Error> {
    match kind {
        BrokenConnectionErrorKind::WriteError(error) => Some(error),
        BrokenConnectionErrorKind::FrameHeaderParseError(FrameHeaderParseError::HeaderIoError(error)) => {
            Some(error)
        }
        _ => None,
    }
}

/// The innermost cause.
fn root(error: &ConnectionError) -> String {
    let text = error.to_string();
    text.rsplit("reason: ").next().unwrap_or(&text).to_owned()
}
