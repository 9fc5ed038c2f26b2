use super::{Location, Service};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// The settings of the config for an object store, beyond its location.
#[derive(Clone, Debug, Default)]
pub struct StoreOptions {
    /// The URL of an S3-compatible store, of an Azure account or emulator, or of a GCS emulator.
    pub endpoint: Option<String>,
    /// The region that requests are signed for.
    pub region: Option<String>,
    /// The bucket in the path instead of the host name; the default where an endpoint is given.
    pub path_style: Option<bool>,
    /// How the store expects ETags in conditions; without it, both forms are tried until one works.
    pub etag_quotes: Option<EtagQuotes>,
    /// Whether the store enforces conditions, as `publish store check` found.
    pub conditions: Option<Conditions>,
    /// Whether a raw `+` in a URL reaches the object, as `publish store check` found.
    pub raw_plus: Option<RawPlus>,
    /// Take credentials from the instance metadata service when nothing else is set.
    pub instance_metadata: bool,
    /// Seconds after which a request counts as hung.
    pub timeout: Option<u64>,
    /// There is no other publisher, as the operator states with the key `single_publisher`.
    pub single_publisher: bool,
    /// Told what a call waits for.
    pub reports: Reports,
}

type Report = dyn Fn(&str) + Send + Sync;

/// Where a store reports what it waits for; nowhere by default.
#[derive(Clone, Default)]
pub struct Reports(Option<Arc<Report>>);

impl Reports {
    /// Reports go to this function.
    pub fn to(report: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(report)))
    }

    pub(super) fn report(&self, line: &str) {
        if let Some(report) = &self.0 {
            report(line);
        }
    }
}

impl fmt::Debug for Reports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reports")
    }
}

impl StoreOptions {
    /// The endpoint: the config's, or for S3 that of the platform's variables.
    pub fn endpoint_for(&self, location: &Location) -> Option<String> {
        let variables: &[&str] = match location {
            Location::Bucket { service: Service::S3, .. } => &["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"],
            _ => &[],
        };
        let variable = || variables.iter().find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
        self.endpoint.clone().or_else(variable)
    }
}

/// How a store expects the ETag in `If-Match`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EtagQuotes {
    /// With its quotes, as in the standard.
    Keep,
    /// Without (Ceph, DigitalOcean Spaces).
    Strip,
}

/// Whether a store carries out conditional writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Conditions {
    /// Creating what exists and swapping what has changed are refused.
    Enforced,
    /// They are silently carried out: two publishers overwrite each other.
    Ignored,
}

/// Whether clients that send `+` as it is get the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RawPlus {
    /// They do.
    Works,
    /// They do not: the store reads it as a space.
    Broken,
}
