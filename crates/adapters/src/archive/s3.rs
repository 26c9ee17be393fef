//! An archive on Amazon S3, or on a server that speaks its protocol.
//!
//! Objects are created with `If-None-Match: *`, so that S3 itself refuses a second one of a name. Each request is signed
//! (Signature Version 4) with the digest of its body, and an upload carries its SHA-256 as a checksum, which S3 compares and
//! keeps. Redirects are not followed: they would send the signature to another host.

mod response;

use aws::credentials::CredentialChain;
use aws::encoding::{encode, encode_path, sha256};
use aws::sigv4::{S3Request, Signer};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ports::archive::{Archive, Created, ObjectInfo, check_name};
use ports::check::Chain;
use ports::proxy::ENVIRONMENT;
use ports::{Error, Result, clock};
use response::{Page, failure};
use serde::Deserialize;
use std::time::Duration;

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(10);
/// How long a request may take, with its body.
const REQUEST: Duration = Duration::from_secs(300);
/// Largest object that is read: far more than any that is written.
const LARGEST: u64 = 4 << 30;

/// `[archive.s3]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct S3Settings {
    /// Region; empty: `AWS_REGION` or `AWS_DEFAULT_REGION`.
    pub region: String,
    /// URL of a server other than Amazon's; empty: `AWS_ENDPOINT_URL_S3` or `AWS_ENDPOINT_URL`, otherwise Amazon's.
    pub endpoint: String,
}

/// An archive in a bucket.
#[derive(Debug)]
pub struct S3Archive {
    bucket: String,
    /// Start of all names: empty, or ends with a slash.
    prefix: String,
    region: String,
    /// Scheme and host, and with [`Self::base`] the start of all paths.
    origin: String,
    /// `/` or `/BUCKET/`.
    base: String,
    credentials: CredentialChain,
    agent: ureq::Agent,
}

/// A response, its body read.
struct Reply {
    code: u16,
    region: Option<String>,
    body: Vec<u8>,
}

impl S3Archive {
    /// In a bucket, under a prefix (empty: none).
    ///
    /// # Errors
    /// The bucket's name, the region or the endpoint is missing or invalid.
    pub fn new(
        bucket: &str,
        prefix: &str,
        settings: &S3Settings,
        credentials: CredentialChain,
    ) -> Result<Self> {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-');
        if !(3..=63).contains(&bucket.len()) || !bucket.chars().all(fits) {
            return Err(
                Error::usage(format!("`{bucket}` is not the name of a bucket")).hint("s3://BUCKET/PREFIX")
            );
        }
        let prefix = prefix.trim_matches('/');
        if !prefix.is_empty() {
            check_name(prefix).map_err(|_| {
                Error::usage(format!("s3://{bucket}/{prefix}: expected a prefix of a-z A-Z 0-9 . _ = - /"))
            })?;
        }
        let setting = |own: &str, names: [&str; 2]| {
            let found = (!own.is_empty()).then(|| own.to_owned());
            found.or_else(|| names.iter().find_map(|name| credentials.setting(name)))
        };
        let region = setting(&settings.region, ["AWS_REGION", "AWS_DEFAULT_REGION"]).ok_or_else(|| {
            Error::usage(format!("s3://{bucket}: no region")).hint("set AWS_REGION, or `archive.s3.region`")
        })?;
        let endpoint = setting(&settings.endpoint, ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]);
        let (origin, base) = match endpoint {
            Some(url) => {
                let url = url.trim_end_matches('/');
                let host = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
                if host.is_none_or(|host| host.is_empty() || host.contains(['/', '@', '?'])) {
                    return Err(Error::usage("`archive.s3.endpoint`: expected http(s)://HOST[:PORT]"));
                }
                (url.to_owned(), format!("/{bucket}/"))
            }
            // A bucket with dots does not match Amazon's certificate.
            None if bucket.contains('.') => {
                (format!("https://s3.{region}.amazonaws.com"), format!("/{bucket}/"))
            }
            None => (format!("https://{bucket}.s3.{region}.amazonaws.com"), "/".to_owned()),
        };
        let proxy = ENVIRONMENT.of_request(&origin)?;
        let config = ureq::Agent::config_builder()
            .proxy(proxy)
            .timeout_connect(Some(CONNECT))
            .timeout_global(Some(REQUEST))
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .build();
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        let (bucket, agent) = (bucket.to_owned(), config.into());
        Ok(Self { bucket, prefix, region, origin, base, credentials, agent })
    }

    fn signer(&self) -> Result<Signer> {
        let found = self.credentials.get()?;
        Ok(Signer {
            access_key: found.access_key,
            secret_key: found.secret_key,
            session_token: found.session_token,
            region: self.region.clone(),
            service: "s3".to_owned(),
        })
    }

    /// Sends a request. `path` follows the bucket, and is encoded; `query` is encoded and sorted.
    fn send(
        &self,
        (method, path, query): (&str, &str, &str),
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> Result<Reply> {
        let path = format!("{}{path}", self.base);
        let host = self.origin.split_once("://").map_or("", |(_, host)| host);
        let payload = sha256(body.unwrap_or_default());
        let request = S3Request { method, host, path: &path, query, headers, payload };
        let signed = self.signer()?.s3_headers(&request, clock::now());
        let mark = if query.is_empty() { "" } else { "?" };
        let url = format!("{}{path}{mark}{query}", self.origin);
        let failed = |error: ureq::Error| Error::external(format!("{method} {}: {error}", self.place(&path)));
        let all =
            || headers.iter().copied().chain(signed.iter().map(|(name, value)| (*name, value.as_str())));
        let mut response = match body {
            Some(body) => {
                let request = all().fold(self.agent.put(&url), |r, (name, value)| r.header(name, value));
                request.send(body).map_err(failed)?
            }
            None => {
                let request = if method == "DELETE" { self.agent.delete(&url) } else { self.agent.get(&url) };
                let request = all().fold(request, |r, (name, value)| r.header(name, value));
                request.call().map_err(failed)?
            }
        };
        let region = response.headers().get("x-amz-bucket-region");
        let region = region.and_then(|value| value.to_str().ok()).map(str::to_owned);
        let body = response.body_mut().with_config().limit(LARGEST).read_to_vec().map_err(failed)?;
        Ok(Reply { code: response.status().as_u16(), region, body })
    }

    /// The error of a response.
    fn refused(&self, doing: &str, reply: &Reply) -> Error {
        failure(&format!("{doing} {}", self.describe()), reply.code, &reply.body, reply.region.as_deref())
    }

    fn place(&self, path: &str) -> String {
        format!("s3://{}/{}", self.bucket, path.strip_prefix(&self.base).unwrap_or(path))
    }

    fn page(&self, prefix: &str, most: usize, after: Option<&str>) -> Result<Page> {
        let mut query = String::new();
        if let Some(token) = after {
            query.push_str("continuation-token=");
            encode(token, &mut query);
            query.push('&');
        }
        query.push_str(&format!("list-type=2&max-keys={most}&prefix="));
        encode(&format!("{}{prefix}", self.prefix), &mut query);
        let reply = self.send(("GET", "", &query), &[], None)?;
        if reply.code != 200 {
            return Err(self.refused("list", &reply));
        }
        Page::parse(&reply.body).map_err(|what| Error::external(format!("list {}: {what}", self.describe())))
    }
}

impl Archive for S3Archive {
    fn create(&self, name: &str, bytes: &[u8]) -> Result<Created> {
        check_name(name)?;
        let checksum = STANDARD.encode(sha256(bytes));
        let headers = [("if-none-match", "*"), ("x-amz-checksum-sha256", checksum.as_str())];
        let path = encode_path(&format!("{}{name}", self.prefix));
        let reply = self.send(("PUT", &path, ""), &headers, Some(bytes))?;
        match reply.code {
            200 => Ok(Created::New),
            412 => Ok(Created::Existed),
            _ => Err(self.refused(&format!("create {name} in"), &reply)),
        }
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        check_name(name)?;
        let path = encode_path(&format!("{}{name}", self.prefix));
        let reply = self.send(("GET", &path, ""), &[], None)?;
        match reply.code {
            200 => Ok(Some(reply.body)),
            404 if response::code(&reply.body).is_none_or(|code| code == "NoSuchKey") => Ok(None),
            _ => Err(self.refused(&format!("read {name} in"), &reply)),
        }
    }

    fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>> {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = self.page(prefix, 1_000, after.as_deref())?;
            for (key, bytes) in page.objects {
                let Some(name) = key.strip_prefix(&self.prefix).map(str::to_owned) else { continue };
                // The console creates an empty object that ends with a slash to show a folder.
                let is_folder = name.is_empty() || name.ends_with('/');
                if !is_folder && !name.split('/').any(|part| part.starts_with('.')) {
                    found.push(ObjectInfo { name, bytes });
                }
            }
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    fn remove(&self, name: &str) -> Result<()> {
        check_name(name)?;
        let path = encode_path(&format!("{}{name}", self.prefix));
        let reply = self.send(("DELETE", &path, ""), &[], None)?;
        match reply.code {
            200 | 204 => Ok(()),
            404 if response::code(&reply.body).is_none_or(|code| code == "NoSuchKey") => Ok(()),
            403 => Err(self
                .refused(&format!("remove {name} from"), &reply)
                .hint("compaction needs the right s3:DeleteObject")),
            _ => Err(self.refused(&format!("remove {name} from"), &reply)),
        }
    }

    fn check(&self) -> Chain {
        let mut chain = Chain::new();
        let host = self.origin.split_once("://").map_or("", |(_, host)| host);
        let port = if self.origin.starts_with("https") { 443 } else { 80 };
        let server = match host.rsplit_once(':').map(|(host, port)| (host, port.parse())) {
            Some((host, Ok(port))) => (host.to_owned(), port),
            _ => (host.to_owned(), port),
        };
        if !chain.reach(&[server], "`archive.s3.endpoint` or `archive.s3.region`") {
            return chain;
        }
        let found = self.credentials.get().map(|found| format!("access key {}", found.access_key));
        if chain.step("credentials", found) {
            chain
                .step("bucket", self.page("", 1, None).map(|_| format!("{} can be listed", self.describe())));
        }
        chain
    }

    fn describe(&self) -> String {
        format!("s3://{}/{}", self.bucket, self.prefix.trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(bucket: &str, prefix: &str, variables: &'static [(&str, &str)]) -> Result<S3Archive> {
        let environment = Box::new(move |wanted: &str| {
            variables.iter().find(|(name, _)| *name == wanted).map(|(_, value)| (*value).to_owned())
        });
        S3Archive::new(bucket, prefix, &S3Settings::default(), CredentialChain::new(environment))
    }

    #[test]
    fn the_environment_names_region_and_endpoint() {
        let amazon = open("tapes", "/a/b/", &[("AWS_REGION", "eu-west-1")]).unwrap();
        assert_eq!(amazon.origin, "https://tapes.s3.eu-west-1.amazonaws.com");
        assert_eq!((amazon.base.as_str(), amazon.describe().as_str()), ("/", "s3://tapes/a/b"));
        let dots = open("my.tapes", "", &[("AWS_DEFAULT_REGION", "eu-west-1")]).unwrap();
        assert_eq!(
            (dots.origin.as_str(), dots.base.as_str()),
            ("https://s3.eu-west-1.amazonaws.com", "/my.tapes/")
        );
        let own = &[("AWS_REGION", "x"), ("AWS_ENDPOINT_URL", "http://127.0.0.1:9000/")];
        assert_eq!(open("tapes", "", own).unwrap().origin, "http://127.0.0.1:9000");
        for (bucket, prefix, variables, part) in [
            ("tapes", "", &[][..], "no region"),
            ("T", "", &[], "not the name of a bucket"),
            ("tapes", "a/../b", &[], "expected a prefix"),
            ("tapes", "", &[("AWS_REGION", "x"), ("AWS_ENDPOINT_URL", "ftp://h")], "expected http"),
        ] {
            let error = open(bucket, prefix, variables).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
