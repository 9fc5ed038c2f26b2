//! Connections to the services. Credentials come from the platform's own variables and files; nothing configured is an
//! error here, never a silent question to the instance metadata service.

use super::dated::StoreClock;
#[cfg(feature = "s3")]
use super::unfinished::Unfinished;
use crate::error::{Error, Kind, Result};
use crate::storage::{Service, StoreOptions};
use crate::transport;
use object_store::{ClientOptions, ObjectStore, RetryConfig};
use std::sync::Arc;
use std::time::Duration;

/// Seconds after which a request is tried again, unless the config has another value.
const TIMEOUT: u64 = 180;

/// A client for a bucket.
pub(super) struct Connected {
    pub store: Arc<dyn ObjectStore>,
    pub clock: StoreClock,
    #[cfg(feature = "s3")]
    pub unfinished: Option<Unfinished>,
}

impl Connected {
    #[cfg(any(feature = "gcs", feature = "azure"))]
    fn plain(store: impl ObjectStore, clock: StoreClock) -> Self {
        Self {
            store: Arc::new(store),
            clock,
            #[cfg(feature = "s3")]
            unfinished: None,
        }
    }
}

/// Makes a client for a bucket.
pub(super) fn connect(service: Service, bucket: &str, options: &StoreOptions) -> Result<Connected> {
    check_endpoints(service, options)?;
    match service {
        #[cfg(feature = "s3")]
        Service::S3 => s3(bucket, options),
        #[cfg(feature = "gcs")]
        Service::Gcs => gcs(bucket, options),
        #[cfg(feature = "azure")]
        Service::Azure => azure(bucket, options),
        #[allow(unreachable_patterns, reason = "all are there with the default features")]
        other => Err(Error::invalid(format!("this `publish` was built without {}:// stores", other.scheme()))
            .hint("install one built with the default cargo features")),
    }
}

/// Variables of the platform that name a place to which requests or credentials are sent.
fn endpoint_variables(service: Service) -> &'static [&'static str] {
    match service {
        Service::S3 => &["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT", "AWS_ENDPOINT_URL_STS"],
        Service::Gcs => &[],
        Service::Azure => &[
            "AZURE_STORAGE_ENDPOINT",
            "AZURE_ENDPOINT",
            "AZURITE_BLOB_STORAGE_URL",
            "AZURE_STORAGE_AUTHORITY_HOST",
            "AZURE_AUTHORITY_HOST",
        ],
    }
}

/// Refuses every endpoint to which credentials would travel in clear: also those that are set and not used, for which of
/// them is used is the library's affair.
fn check_endpoints(service: Service, options: &StoreOptions) -> Result<()> {
    if let Some(endpoint) = &options.endpoint {
        transport::check(endpoint, "the endpoint of the store")?;
    }
    let given = endpoint_variables(service).iter().filter_map(|name| Some((name, std::env::var(name).ok()?)));
    for (name, url) in given.filter(|(_, url)| !url.is_empty()) {
        transport::check(&url, &format!("the variable {name}"))?;
    }
    // Where a container gets its credentials is often plain http, to an address that no router forwards.
    if let Some(url) = std::env::var("AWS_CONTAINER_CREDENTIALS_FULL_URI").ok().filter(|url| service == Service::S3 && !url.is_empty())
        && !["http://169.254.170.2/", "http://169.254.170.23/", "http://[fd00:ec2::23]/"].iter().any(|known| url.starts_with(known))
    {
        transport::check(&url, "the variable AWS_CONTAINER_CREDENTIALS_FULL_URI")?;
    }
    Ok(())
}

fn client(options: &StoreOptions) -> ClientOptions {
    let endpoint = options.endpoint.as_deref().unwrap_or_default();
    let plain = transport::is_plain(endpoint);
    let mut client = ClientOptions::new();
    if transport::is_local(endpoint) || set("AZURE_STORAGE_USE_EMULATOR") {
        // A proxy would get what is meant for this machine. The library leaves proxies of the environment out only if it
        // is given one of its own.
        client = client.with_proxy_url("http://127.0.0.1:9").with_proxy_excludes("127.0.0.0/8,::1,localhost");
    }
    client
        .with_timeout(Duration::from_secs(options.timeout.unwrap_or(TIMEOUT).max(1)))
        .with_connect_timeout(Duration::from_secs(10))
        .with_pool_max_idle_per_host(64)
        .with_allow_http(plain)
}

fn retries() -> RetryConfig {
    RetryConfig { max_retries: 8, retry_timeout: Duration::from_secs(400), ..RetryConfig::default() }
}

fn set(name: &str) -> bool {
    std::env::var_os(name).is_some_and(|value| !value.is_empty())
}

#[cfg(feature = "s3")]
fn all_set(names: &[&str]) -> bool {
    names.iter().all(|name| set(name))
}

fn no_credentials(service: &str, hints: &[&str]) -> Error {
    let failure = Error::new(Kind::Permission, format!("no credentials for {service} are configured"));
    let failure = hints.iter().fold(failure, |failure, hint| failure.hint(*hint));
    failure.hint("on a machine whose own identity may publish, put `store: {instance_metadata: true}` into the config")
}

fn refused(service: &str, error: &object_store::Error) -> Error {
    Error::invalid(format!("the settings for {service} are not acceptable")).detail(super::errors::summary(error))
}

#[cfg(feature = "s3")]
fn s3(bucket: &str, options: &StoreOptions) -> Result<Connected> {
    use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, Checksum};
    let known = all_set(&["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
        || all_set(&["AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN"])
        || set("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
        || all_set(&["AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"]);
    if !known && !options.instance_metadata {
        return Err(no_credentials(
            "S3",
            &[
                "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run where a web identity or container role is set up",
                "profiles in ~/.aws are not read; hand one over: eval \"$(aws configure export-credentials --profile NAME --format env)\"",
            ],
        ));
    }
    let builder = AmazonS3Builder::from_env().with_bucket_name(bucket);
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let endpoint = options.endpoint.clone();
    let region = options.region.clone().or_else(|| variable("AWS_REGION")).or_else(|| variable("AWS_DEFAULT_REGION"));
    let Some(region) = region.or_else(|| endpoint.is_some().then(|| "us-east-1".into())) else {
        return Err(Error::invalid("the region of the bucket is not configured")
            .hint("set `store: {region: eu-central-1}` in the config, or AWS_REGION"));
    };
    let path_style = options.path_style.unwrap_or(endpoint.is_some());
    let clock = StoreClock::default();
    let mut builder = builder
        .with_http_connector(clock.clone())
        .with_client_options(client(options))
        .with_retry(retries())
        .with_region(&region)
        // Without it a request for the payload's integrity rests on the transport alone.
        .with_unsigned_payload(false)
        .with_skip_signature(false)
        .with_config(AmazonS3ConfigKey::ConditionalPut, "etag")
        .with_virtual_hosted_style_request(!path_style)
        .with_checksum_algorithm(Checksum::SHA256);
    let url = match endpoint {
        Some(endpoint) if path_style => {
            builder = builder.with_endpoint(&endpoint);
            format!("{}/{bucket}", endpoint.trim_end_matches('/'))
        }
        Some(endpoint) => {
            let url = with_bucket(endpoint.trim_end_matches('/'), bucket);
            transport::check(&url, "the endpoint of the store, with the bucket before it,")?;
            builder = builder.with_endpoint(&url);
            url
        }
        None if path_style => format!("https://s3.{region}.amazonaws.com/{bucket}"),
        None => format!("https://{bucket}.s3.{region}.amazonaws.com"),
    };
    let store = builder.build().map_err(|error| refused("S3", &error))?;
    let unfinished = Unfinished::new(Arc::clone(store.credentials()), region, url, client(options));
    Ok(Connected { store: Arc::new(store), clock, unfinished: Some(unfinished) })
}

/// The endpoint of a bucket that is in the host name.
#[cfg(feature = "s3")]
fn with_bucket(endpoint: &str, bucket: &str) -> String {
    match endpoint.split_once("://") {
        Some((scheme, host)) if !host.starts_with(&format!("{bucket}.")) => format!("{scheme}://{bucket}.{host}"),
        _ => endpoint.to_owned(),
    }
}

#[cfg(feature = "gcs")]
fn gcs(bucket: &str, options: &StoreOptions) -> Result<Connected> {
    use object_store::gcp::{GcpCredential, GoogleCloudStorageBuilder};
    let well_known = std::env::var_os("CLOUDSDK_CONFIG")
        .map(std::path::PathBuf::from)
        .or_else(|| Some(std::path::PathBuf::from(std::env::var_os("HOME")?).join(".config/gcloud")));
    let known = [
        "GOOGLE_APPLICATION_CREDENTIALS",
        "GOOGLE_SERVICE_ACCOUNT",
        "GOOGLE_SERVICE_ACCOUNT_PATH",
        "GOOGLE_SERVICE_ACCOUNT_KEY",
        "SERVICE_ACCOUNT",
    ]
    .iter()
    .any(|name| set(name))
        || well_known.is_some_and(|directory| directory.join("application_default_credentials.json").exists());
    let clock = StoreClock::default();
    let mut builder = GoogleCloudStorageBuilder::from_env()
        .with_http_connector(clock.clone())
        .with_bucket_name(bucket)
        .with_client_options(client(options))
        .with_retry(retries());
    // The emulator knows no credentials, so none are sent to it.
    if let Some(endpoint) = &options.endpoint {
        let nobody = object_store::StaticCredentialProvider::new(GcpCredential { bearer: String::new() });
        builder = builder.with_base_url(endpoint).with_credentials(Arc::new(nobody)).with_skip_signature(true);
    } else if !known && !options.instance_metadata {
        return Err(no_credentials(
            "Google Cloud Storage",
            &["set GOOGLE_APPLICATION_CREDENTIALS to a key file, or log in: gcloud auth application-default login"],
        ));
    }
    Ok(Connected::plain(builder.build().map_err(|error| refused("Google Cloud Storage", &error))?, clock))
}

#[cfg(feature = "azure")]
fn azure(container: &str, options: &StoreOptions) -> Result<Connected> {
    use object_store::azure::MicrosoftAzureBuilder;
    let account = ["AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT"].iter().find_map(|name| std::env::var(name).ok());
    let Some(account) = account.filter(|account| !account.is_empty()) else {
        return Err(Error::new(Kind::Permission, "no account for Azure Blob Storage is configured")
            .hint("set AZURE_STORAGE_ACCOUNT_NAME, and AZURE_STORAGE_ACCOUNT_KEY or another credential"));
    };
    let client_secret = ["AZURE_STORAGE_CLIENT_SECRET", "AZURE_CLIENT_SECRET"];
    let key = ["AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_ACCESS_KEY", "AZURE_STORAGE_MASTER_KEY"];
    let sas = ["AZURE_STORAGE_SAS_KEY", "AZURE_STORAGE_SAS_TOKEN"];
    let other = ["AZURE_STORAGE_TOKEN", "AZURE_FEDERATED_TOKEN_FILE", "AZURE_USE_AZURE_CLI"];
    let known = client_secret.iter().chain(&key).chain(&sas).chain(&other).any(|name| set(name));
    if !known && !options.instance_metadata {
        return Err(no_credentials(
            "Azure Blob Storage",
            &[
                "set AZURE_STORAGE_ACCOUNT_KEY, AZURE_STORAGE_SAS_TOKEN, or AZURE_CLIENT_ID, AZURE_TENANT_ID and AZURE_CLIENT_SECRET; after `az login`, AZURE_USE_AZURE_CLI=true",
            ],
        ));
    }
    let clock = StoreClock::default();
    let mut builder = MicrosoftAzureBuilder::from_env()
        .with_http_connector(clock.clone())
        .with_account(account)
        .with_container_name(container)
        .with_client_options(client(options))
        .with_retry(retries());
    if let Some(endpoint) = &options.endpoint {
        builder = builder.with_endpoint(endpoint.clone()).with_allow_http(transport::is_plain(endpoint));
    }
    Ok(Connected::plain(builder.build().map_err(|error| refused("Azure Blob Storage", &error))?, clock))
}
