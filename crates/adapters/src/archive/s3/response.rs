//! What S3 responds: pages of a listing, and errors.

use ports::Error;

/// A page of a listing.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Page {
    /// Keys and sizes.
    pub(super) objects: Vec<(String, u64)>,
    /// Where the next page begins.
    pub(super) next: Option<String>,
}

/// The text between the first `<name>` and `</name>`, and what follows.
fn element<'a>(text: &'a str, name: &str) -> Option<(&'a str, &'a str)> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>"))
}

/// The text without XML's escapes.
fn unescape(text: &str) -> String {
    let named =
        [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#34;", "\""), ("&apos;", "'"), ("&#39;", "'")];
    let text =
        named.iter().fold(text.to_owned(), |text, (escape, character)| text.replace(escape, character));
    text.replace("&amp;", "&")
}

impl Page {
    /// Reads a `ListBucketResult`.
    pub(super) fn parse(body: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(body).map_err(|error| format!("the listing is not UTF-8: {error}"))?;
        if !text.contains("<ListBucketResult") {
            return Err("the response is not a listing".to_owned());
        }
        let mut page = Self::default();
        let mut rest = text;
        while let Some((contents, after)) = element(rest, "Contents") {
            let part = |name| element(contents, name).map(|(text, _)| text);
            let key = part("Key").ok_or("an entry without a key")?;
            let size = part("Size").and_then(|size| size.parse().ok()).ok_or("an entry without a size")?;
            page.objects.push((unescape(key), size));
            rest = after;
        }
        if element(text, "IsTruncated").is_some_and(|(flag, _)| flag == "true") {
            let token = element(text, "NextContinuationToken").map(|(token, _)| unescape(token));
            page.next = Some(token.ok_or("a truncated listing without a continuation token")?);
        }
        Ok(page)
    }
}

/// The error code of a response.
pub(super) fn code(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?;
    element(text, "Code").map(|(code, _)| unescape(code))
}

/// The error that a response stands for. `region` is the bucket's, where S3 names it.
pub(super) fn failure(doing: &str, status: u16, body: &[u8], region: Option<&str>) -> Error {
    let text = String::from_utf8_lossy(body);
    let part = |name| element(&text, name).map(|(text, _)| unescape(text)).unwrap_or_default();
    let (code, message) = (part("Code"), part("Message"));
    // Shown to people, and the server may be any.
    let message: String = message.chars().filter(|c| !c.is_control()).take(200).collect();
    let what = format!("{doing}: HTTP {status} {code}: {message}");
    let what = what.trim_end_matches([' ', ':']).to_owned();
    match (status, code.as_str()) {
        (_, "NoSuchBucket") => Error::user(what).hint("create the bucket: aws s3 mb s3://BUCKET"),
        (_, "RequestTimeTooSkewed") => Error::user(what).hint("set this machine's clock: timedatectl"),
        (_, "InvalidAccessKeyId" | "SignatureDoesNotMatch") => {
            Error::user(what).hint("check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the role")
        }
        (301 | 307 | 400, _) if region.is_some() => {
            let region = region.unwrap_or_default();
            Error::user(what).hint(format!("the bucket is in region {region}: set AWS_REGION={region}"))
        }
        // A concurrent creation of the same object, an expired token, a body damaged on its way: the next attempt differs.
        (409, _) | (400, "RequestTimeout" | "ExpiredToken" | "BadDigest" | "XAmzContentSHA256Mismatch") => {
            Error::external(what)
        }
        (403, _) => {
            Error::user(what).hint("the credentials need s3:PutObject, s3:GetObject and s3:ListBucket")
        }
        (408 | 429 | 500..=599, _) => Error::external(what),
        _ => Error::user(what),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_has_pages() {
        let text = "<?xml version=\"1.0\"?><ListBucketResult xmlns=\"x\"><IsTruncated>true</IsTruncated>\
            <Contents><Key>a&amp;lt;/b</Key><Size>3</Size></Contents><Contents><Key>c</Key><Size>0</Size></Contents>\
            <NextContinuationToken>t=&quot;1</NextContinuationToken></ListBucketResult>";
        let page = Page::parse(text.as_bytes()).unwrap();
        assert_eq!(page.objects, [("a&lt;/b".to_owned(), 3), ("c".to_owned(), 0)]);
        assert_eq!(page.next.as_deref(), Some("t=\"1"));
        let last = "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>";
        assert_eq!(Page::parse(last.as_bytes()).unwrap(), Page::default());
        for bad in ["<html/>", "<ListBucketResult><Contents><Key>a</Key></Contents></ListBucketResult>"] {
            assert!(Page::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_error_says_whether_to_try_again_and_what_to_do() {
        let of = |status, code: &str, region| {
            let body = format!("<Error><Code>{code}</Code><Message>No.</Message></Error>");
            failure("list s3://b", status, body.as_bytes(), region)
        };
        for (status, code) in
            [(503, "SlowDown"), (409, "ConditionalRequestConflict"), (400, "BadDigest"), (500, "")]
        {
            assert!(of(status, code, None).retryable(), "{code}");
        }
        for (status, code, part) in [
            (404, "NoSuchBucket", "aws s3 mb"),
            (403, "AccessDenied", "s3:PutObject"),
            (403, "SignatureDoesNotMatch", "AWS_SECRET_ACCESS_KEY"),
            (403, "RequestTimeTooSkewed", "clock"),
        ] {
            let error = of(status, code, None);
            assert!(!error.retryable() && error.to_string().contains(part), "{error}");
        }
        let moved = of(301, "PermanentRedirect", Some("eu-west-1")).to_string();
        assert!(
            moved.contains("AWS_REGION=eu-west-1") && moved.contains("HTTP 301 PermanentRedirect: No."),
            "{moved}"
        );
    }
}
