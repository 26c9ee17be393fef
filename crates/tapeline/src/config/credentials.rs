//! User and password in URLs.

use super::sections::Config;
use ports::{Error, Result};

/// Moves user and password out of the store's URL, so that no message that shows the URL shows them.
pub(super) fn move_credentials(config: &mut Config) -> Result<()> {
    if let Some((login, _)) = config.topic.url.strip_prefix("kafka://").and_then(|rest| rest.rsplit_once('@'))
    {
        let user = login.split(':').next().unwrap_or_default();
        return Err(Error::user(format!(
            "`topic.url`: credentials of `{user}` in a Kafka URL are not supported"
        ))
        .hint("set [topic.kafka.sasl]: mechanism, username and password"));
    }
    let Some((login, place)) =
        config.store.url.strip_prefix("cassandra://").and_then(|rest| rest.rsplit_once('@'))
    else {
        return Ok(());
    };
    let decode = |text: &str| {
        let decoded = percent_encoding::percent_decode_str(text).decode_utf8();
        decoded.map(std::borrow::Cow::into_owned).map_err(|_| {
            Error::user("`store.url`: user and password are not percent-encoded UTF-8")
                .hint("set `store.cassandra.username` and password instead")
        })
    };
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    let (user, password) = (decode(user)?, decode(password)?);
    config.store.url = format!("cassandra://{place}");
    config.store.cassandra.username = user;
    if !password.is_empty() {
        config.store.cassandra.password = password.into();
    }
    Ok(())
}
