//! AWS without its SDK: request signatures, and the credentials of the environment, a container or an instance.
//!
//! | module | contents |
//! |---|---|
//! | [`credentials`] | where credentials come from, and when they are renewed |
//! | [`sigv4`] | AWS Signature Version 4 |
//! | [`msk`] | tokens for Amazon MSK |
//! | [`keyspaces`] | the login of Amazon Keyspaces |
//! | [`encoding`] | percent-encoding and hexadecimal, as signatures need them |
//!
//! ```
//! use aws::sigv4::{Request, Signer};
//! use market::UnixNanos;
//! use ports::secret::Secret;
//!
//! let signer = Signer {
//!     access_key: "AKIDEXAMPLE".to_owned(),
//!     secret_key: Secret::from("secret".to_owned()),
//!     session_token: Secret::default(),
//!     region: "us-east-1".to_owned(),
//!     service: "sns".to_owned(),
//! };
//! let host = "sns.us-east-1.amazonaws.com";
//! let request = Request { method: "POST", host, path: "/", content_type: "", target: "", body: "" };
//! let headers = signer.headers(&request, UnixNanos(0));
//! assert_eq!(headers[0], ("X-Amz-Date", "19700101T000000Z".to_owned()));
//! ```

pub mod credentials;
pub mod encoding;
pub mod keyspaces;
pub mod msk;
pub mod sigv4;
