//! Uploads in parts that a killed publisher left unfinished: no listing of objects shows them, and they cost what objects
//! cost. Only S3 keeps them until they are removed on request; this module requests it.

use crate::error::{Error, Kind, Result};
use chrono::{DateTime, Utc};
use object_store::ClientOptions;
use object_store::aws::{AwsAuthorizer, AwsCredentialProvider};
use object_store::client::{HttpClient, HttpConnector, HttpRequest, HttpRequestBody, ReqwestConnector};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use std::time::SystemTime;

/// Asks one bucket about unfinished uploads.
pub(super) struct Unfinished {
    /// For a client that is made when it is needed: it reads all certificates of the system.
    options: ClientOptions,
    credentials: AwsCredentialProvider,
    region: String,
    /// The URL of the bucket, without a slash at its end.
    bucket: String,
}

/// The store's answer, of which only the uploads matter.
#[derive(Deserialize)]
struct Listing {
    #[serde(rename = "Upload", default)]
    uploads: Vec<Upload>,
}

/// An upload as the store lists it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Upload {
    key: String,
    upload_id: String,
    /// When it began, as RFC 3339.
    initiated: DateTime<Utc>,
}

impl Unfinished {
    /// For the bucket at this URL.
    pub fn new(credentials: AwsCredentialProvider, region: String, bucket: String, options: ClientOptions) -> Self {
        Self { options, credentials, region, bucket }
    }

    /// Removes the uploads below `prefix` that were begun before `before`; returns their number. A store lists a
    /// thousand at a time: the next prune takes the next.
    pub async fn sweep(&self, prefix: &str, before: SystemTime) -> Result<usize> {
        let client = ReqwestConnector::default().connect(&self.options);
        let client = client.map_err(|error| Error::new(Kind::Unexpected, "cannot set up https").source(error))?;
        let listing = self.send(&client, "GET", &format!("{}?prefix={}&uploads=", self.bucket, escape(prefix, false))).await?;
        let mut swept = 0;
        let before = DateTime::<Utc>::from(before);
        for upload in parse(&listing)?.into_iter().filter(|upload| upload.key.starts_with(prefix) && upload.initiated < before) {
            let url = format!("{}/{}?uploadId={}", self.bucket, escape(&upload.key, true), escape(&upload.upload_id, false));
            self.send(&client, "DELETE", &url).await?;
            swept += 1;
        }
        Ok(swept)
    }

    async fn send(&self, client: &HttpClient, method: &str, url: &str) -> Result<String> {
        let failed = |what: String| Error::new(Kind::Storage, "cannot look for unfinished uploads").detail(what);
        let credential = self.credentials.get_credential().await.map_err(|error| failed(super::errors::summary(&error)))?;
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.method_mut() = method.parse().map_err(|_| failed(format!("method {method}")))?;
        *request.uri_mut() = url.parse().map_err(|_| failed("the bucket's URL is none".into()))?;
        let signed = AwsAuthorizer::new(&credential, "s3", &self.region).try_authorize(&mut request, None);
        signed.map_err(|error| failed(super::errors::summary(&error)))?;
        let response = client.execute(request).await.map_err(|error| failed(format!("{:?}", error.kind())))?;
        let status = response.status().as_u16();
        let body = response.into_body().bytes().await.map_err(|error| failed(format!("{:?}", error.kind())))?;
        match status {
            200..=299 | 404 => Ok(String::from_utf8_lossy(&body).into_owned()),
            403 => Err(Error::new(Kind::Permission, "unfinished uploads may not be looked for with these credentials").hint(
                "permit s3:ListBucketMultipartUploads and s3:AbortMultipartUpload, or let a lifecycle rule remove them (docs/stores.md)",
            )),
            status => Err(failed(format!("the store answered {status}"))),
        }
    }
}

/// Reads a listing; a store without multipart uploads answers with nothing (404).
fn parse(listing: &str) -> Result<Vec<Upload>> {
    if !listing.contains("<Upload>") {
        return Ok(Vec::new());
    }
    let listing: Listing = quick_xml::de::from_str(listing)
        .map_err(|error| Error::new(Kind::Storage, "the store's list of unfinished uploads cannot be read").source(error))?;
    Ok(listing.uploads)
}

/// All but the unreserved characters of RFC 3986, as the signature of a request requires.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const RESERVED_IN_KEYS: &AsciiSet = &RESERVED.remove(b'/');

fn escape(text: &str, slashes: bool) -> String {
    utf8_percent_encode(text, if slashes { RESERVED_IN_KEYS } else { RESERVED }).to_string()
}
