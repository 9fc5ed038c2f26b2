//! Uploads in parts that a killed publisher left unfinished: no listing of objects shows them, and they cost what objects
//! cost. S3 alone keeps them until somebody asks for their removal; what asks is here.

use crate::failure::{Failure, Kind, Result};
use chrono::{DateTime, Utc};
use object_store::ClientOptions;
use object_store::aws::{AwsAuthorizer, AwsCredentialProvider};
use object_store::client::{HttpClient, HttpConnector, HttpRequest, HttpRequestBody, ReqwestConnector};
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

/// An upload as the store lists it.
#[derive(Debug)]
struct Begun {
    key: String,
    id: String,
    at: SystemTime,
}

impl Unfinished {
    /// For the bucket at this URL.
    pub fn new(credentials: AwsCredentialProvider, region: String, bucket: String, options: ClientOptions) -> Self {
        Self { options, credentials, region, bucket }
    }

    /// Removes the uploads below `prefix` that were begun before `before`; says how many there were. A store lists a
    /// thousand at a time: the next prune takes the next.
    pub async fn sweep(&self, prefix: &str, before: SystemTime) -> Result<usize> {
        let client = ReqwestConnector::default().connect(&self.options);
        let client = client.map_err(|error| Failure::new(Kind::Unexpected, "cannot set up https").source(error))?;
        let listing = self.send(&client, "GET", &format!("{}?prefix={}&uploads=", self.bucket, escape(prefix, false))).await?;
        let mut swept = 0;
        for upload in parse(&listing).into_iter().filter(|upload| upload.key.starts_with(prefix) && upload.at < before) {
            self.send(&client, "DELETE", &format!("{}/{}?uploadId={}", self.bucket, escape(&upload.key, true), escape(&upload.id, false)))
                .await?;
            swept += 1;
        }
        Ok(swept)
    }

    async fn send(&self, client: &HttpClient, method: &str, url: &str) -> Result<String> {
        let failed = |what: String| Failure::new(Kind::Storage, "cannot look for unfinished uploads").detail(what);
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
            403 => Err(Failure::new(Kind::Permission, "unfinished uploads may not be looked for with these credentials").hint(
                "permit s3:ListBucketMultipartUploads and s3:AbortMultipartUpload, or let a lifecycle rule remove them (docs/stores.md)",
            )),
            status => Err(failed(format!("the store answered {status}"))),
        }
    }
}

/// Reads a listing: the store's own XML, of which three fields matter.
fn parse(xml: &str) -> Vec<Begun> {
    let field = |text: &str, tag: &str| {
        let start = text.find(&format!("<{tag}>"))? + tag.len() + 2;
        let end = text[start..].find("</")? + start;
        Some(unescape(&text[start..end]))
    };
    let begun = |text: &str| {
        let at = DateTime::parse_from_rfc3339(&field(text, "Initiated")?).ok()?.with_timezone(&Utc);
        Some(Begun { key: field(text, "Key")?, id: field(text, "UploadId")?, at: at.into() })
    };
    xml.split("<Upload>").skip(1).filter_map(begun).collect()
}

fn unescape(text: &str) -> String {
    let entities = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#34;", "\""), ("&apos;", "'"), ("&#39;", "'"), ("&amp;", "&")];
    entities.iter().fold(text.to_owned(), |text, (entity, character)| text.replace(entity, character))
}

/// As signatures of requests want it: everything but unreserved characters, and slashes where they part a key.
fn escape(text: &str, slashes: bool) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || (slashes && byte == b'/');
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
