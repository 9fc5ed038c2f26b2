//! What a store's errors mean. Texts are taken from the answer's code and message only: its other fields, and URLs, can
//! hold signatures and tokens.

use crate::error::{Error, Kind};
use crate::storage::Location;
use object_store::Error as StoreError;
use std::error::Error as _;

/// Whether the object is not there (and the bucket is).
pub(super) fn missing(error: &StoreError) -> bool {
    matches!(error, StoreError::NotFound { .. }) && !["NoSuchBucket", "ContainerNotFound"].iter().any(|code| text(error).contains(code))
}

/// Whether the write's own condition did not hold.
pub(super) fn conflict(error: &StoreError) -> bool {
    matches!(error, StoreError::AlreadyExists { .. } | StoreError::Precondition { .. } | StoreError::NotModified { .. })
        && !text(error).contains("BucketAlready")
}

/// The failure that an error is for people.
pub(super) fn translate(what: &str, location: &Location, error: &StoreError) -> Error {
    let full = text(error);
    let has = |code: &str| full.contains(code);
    let scheme_hint = || match location {
        Location::Bucket { service: crate::storage::Service::S3, .. } => {
            "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN for temporary ones)"
        }
        Location::Bucket { service: crate::storage::Service::Gcs, .. } => {
            "check GOOGLE_APPLICATION_CREDENTIALS, or log in: gcloud auth application-default login"
        }
        _ => "check AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY, or the client secret",
    };
    let (kind, hint) = if has("RequestTimeTooSkewed") {
        (Kind::Permission, "this machine's clock is wrong by more than the store allows; set it, then run the same command again")
    } else if has("InvalidAccessKeyId")
        || has("SignatureDoesNotMatch")
        || has("AuthenticationFailed")
        || matches!(error, StoreError::Unauthenticated { .. })
    {
        (Kind::Permission, scheme_hint())
    } else if has("ExpiredToken") || has("TokenExpired") {
        (Kind::Permission, "the temporary credentials have expired; get new ones and run the same command again")
    } else if has("NoSuchBucket") || has("ContainerNotFound") {
        (Kind::NotFound, "there is no such bucket; make it first, `publish` never makes or changes buckets")
    } else if has("PermanentRedirect") || has("AuthorizationHeaderMalformed") || has("IllegalLocationConstraint") || has("without LOCATION")
    {
        (Kind::Invalid, "the bucket is in another region: set `store: {region: …}` in the config, or AWS_REGION")
    } else if has("EntityTooLarge") {
        (Kind::Invalid, "the store takes no object this large at once; with `plain_names: none` nothing is copied")
    } else if matches!(error, StoreError::PermissionDenied { .. }) {
        (
            Kind::Permission,
            "the credentials lack a permission; publishing needs to get, put, delete and list objects (docs/stores.md has the policies)",
        )
    } else if matches!(error, StoreError::NotFound { .. }) {
        (Kind::NotFound, "")
    } else if matches!(error, StoreError::NotImplemented { .. } | StoreError::NotSupported { .. }) || has("NotImplemented") {
        (Kind::Invalid, "the store cannot do this; `publish store check` shows what it supports")
    } else {
        (Kind::Storage, "the request was retried without success; check the network and run the same command again, nothing was lost")
    };
    let failure = Error::new(kind, what).detail(summary(error));
    if hint.is_empty() { failure } else { failure.hint(hint) }
}

/// The status, code and message of an answer; nothing else of it.
pub(super) fn summary(error: &StoreError) -> String {
    let full = text(error);
    let field = |tag: &str| {
        let start = full.find(&format!("<{tag}>"))? + tag.len() + 2;
        let end = full[start..].find(&format!("</{tag}>"))?;
        Some(full[start..start + end].to_owned())
    };
    let status = ["status code: ", "status: "].iter().find_map(|mark| {
        let at = full.find(mark)? + mark.len();
        full[at..].split(|c: char| !c.is_ascii_digit()).next().filter(|digits| digits.len() == 3).map(str::to_owned)
    });
    let parts: Vec<String> = [status, field("Code"), field("Message")].into_iter().flatten().collect();
    let parts = if parts.is_empty() { without_queries(full.lines().next().unwrap_or_default()) } else { parts.join(": ") };
    parts.chars().take(300).collect::<String>().escape_debug().to_string().replace("\\\"", "\"").replace("\\'", "'")
}

/// The texts of an error and everything below it.
fn text(error: &StoreError) -> String {
    let mut all = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let next = cause.to_string();
        if !all.contains(&next) {
            all.push_str(": ");
            all.push_str(&next);
        }
        source = cause.source();
    }
    all
}

/// Removes the query from URLs: it can contain signatures.
fn without_queries(text: &str) -> String {
    text.split(' ')
        .map(|word| if word.contains("://") { word.split('?').next().unwrap_or(word) } else { word })
        .collect::<Vec<_>>()
        .join(" ")
}
