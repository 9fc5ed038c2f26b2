//! Keys in AWS KMS (preview: tested against an imitation), asked with the credentials and the request signatures of the
//! `object_store` crate. Digests are signed, never messages: KMS takes at most 4096 bytes of a message, and roles are longer.

use super::device::{Device, Operation};
use super::pauses::pauses;
use crate::error::{Error, Kind, Result};
use crate::metadata::PublicKey;
use crate::transport;
use object_store::ClientOptions;
use object_store::aws::{AmazonS3Builder, AwsAuthorizer, AwsCredential, AwsCredentialProvider};
use object_store::client::{HttpRequest, HttpRequestBody};
use openssl::base64::{decode_block, encode_block};
use openssl::pkey::{Id, PKey};
use reqwest::Method;
use reqwest::blocking::Client;
use sequoia_openpgp::types::HashAlgorithm;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;

/// A request that takes longer is hung.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often a throttled request is tried.
const TRIES: usize = 6;

/// A key of KMS.
pub(super) struct KmsKey {
    service: Service,
    id: String,
    public: PublicKey,
    origin: String,
}

impl KmsKey {
    /// Opens a key by its id, ARN or alias.
    pub(super) fn open(id: &str) -> Result<Self> {
        let origin = format!("awskms:{id}");
        let service = Service::open(id, &origin)?;
        let answer = service.call("GetPublicKey", &json!({"KeyId": id}))?;
        let spec = answer["KeySpec"].as_str().unwrap_or("unknown").to_owned();
        let unusable = || {
            Error::invalid(format!("{origin} is a key of the kind {}", spec.escape_debug()))
                .hint("make it ECC_NIST_P256 (or RSA_3072) for SIGN_VERIFY: KMS signs no more than 4096 bytes with Ed25519 keys, and roles are longer")
        };
        let der = answer["PublicKey"].as_str().and_then(|text| decode_block(text).ok()).ok_or_else(unusable)?;
        let key = PKey::public_key_from_der(&der).map_err(|error| unusable().source(error))?;
        let pem = key.public_key_to_pem().map_err(|error| unusable().source(error))?;
        let pem = String::from_utf8_lossy(&pem);
        let public = match key.id() {
            Id::EC => PublicKey::p256(&pem).map_err(|_| unusable())?,
            Id::RSA => PublicKey::rsa(&pem).map_err(|_| unusable())?,
            _ => return Err(unusable()),
        };
        Ok(Self { service, id: id.to_owned(), public, origin })
    }
}

impl Device for KmsKey {
    fn public(&self) -> &PublicKey {
        &self.public
    }

    fn perform(&self, operation: Operation<'_>) -> Result<Vec<u8>> {
        let (algorithm, digest) = match operation {
            Operation::Ecdsa(digest) => ("ECDSA_SHA_256", digest.to_vec()),
            Operation::Pss(message) => ("RSASSA_PSS_SHA_256", openssl::sha::sha256(message).to_vec()),
            Operation::Pkcs1(HashAlgorithm::SHA384, digest) => ("RSASSA_PKCS1_V1_5_SHA_384", digest.to_vec()),
            Operation::Pkcs1(HashAlgorithm::SHA512, digest) => ("RSASSA_PKCS1_V1_5_SHA_512", digest.to_vec()),
            Operation::Pkcs1(_, digest) => ("RSASSA_PKCS1_V1_5_SHA_256", digest.to_vec()),
            Operation::Ed25519(_) => return Err(Error::invalid(format!("{}: KMS cannot sign whole roles with Ed25519", self.origin))),
        };
        let body = json!({"KeyId": self.id, "Message": encode_block(&digest), "MessageType": "DIGEST", "SigningAlgorithm": algorithm});
        let answer = self.service.call("Sign", &body)?;
        let signature = answer["Signature"].as_str().and_then(|text| decode_block(text).ok());
        signature.ok_or_else(|| Error::new(Kind::Untrusted, format!("{}: the answer contains no signature", self.origin)))
    }

    fn origin(&self) -> &str {
        &self.origin
    }
}

/// The service in one region.
struct Service {
    http: Client,
    endpoint: String,
    region: String,
    credentials: AwsCredentialProvider,
    runtime: Runtime,
    origin: String,
}

impl Service {
    fn open(id: &str, origin: &str) -> Result<Self> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let unset = |what: &str| Error::new(Kind::NotFound, format!("{origin}: {what}"));
        // An ARN names its region: arn:aws:kms:REGION:ACCOUNT:key/ID.
        let of_arn = || id.strip_prefix("arn:").and_then(|rest| rest.split(':').nth(2)).map(str::to_owned);
        let region = of_arn().or_else(|| variable("AWS_REGION")).or_else(|| variable("AWS_DEFAULT_REGION"));
        let region = region.ok_or_else(|| unset("no region is known").hint("set AWS_REGION, or write the key's ARN"))?;
        // Without any of these, the library would ask whatever answers at the instance metadata address.
        let sources = [
            "AWS_ACCESS_KEY_ID",
            "AWS_WEB_IDENTITY_TOKEN_FILE",
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        ];
        if !sources.iter().any(|name| variable(name).is_some()) {
            return Err(
                unset("no AWS credentials are configured").hint("set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a web identity")
            );
        }
        let endpoint = variable("AWS_ENDPOINT_URL_KMS").unwrap_or_else(|| format!("https://kms.{region}.amazonaws.com"));
        transport::check(&endpoint, &format!("{origin}: AWS_ENDPOINT_URL_KMS"))?;
        let unusable = |error: object_store::Error| Error::invalid(format!("{origin}: the AWS settings cannot be used")).source(error);
        let store = AmazonS3Builder::from_env()
            .with_bucket_name("unused")
            .with_region(&region)
            // Nothing is sent to the store, and nothing to the token service that is not encrypted.
            .with_client_options(ClientOptions::new())
            .build()
            .map_err(unusable)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Error::new(Kind::Unexpected, "cannot start a runtime").source(error))?;
        let mut http = Client::builder();
        if transport::is_local(&endpoint) {
            http = http.no_proxy();
        }
        // KMS redirects nothing, and what it is sent is for it alone.
        let http = http
            .timeout(PATIENCE)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| Error::new(Kind::Unexpected, "cannot make a client for KMS").source(error))?;
        Ok(Self { http, endpoint, region, credentials: store.credentials().clone(), runtime, origin: origin.to_owned() })
    }

    fn call(&self, action: &str, body: &Value) -> Result<Value> {
        let mut pauses = pauses(TRIES);
        loop {
            let (status, answer) = self.send(action, body)?;
            let kind = answer["__type"].as_str().unwrap_or_default().rsplit('#').next().unwrap_or_default().to_owned();
            match status {
                200..300 => return Ok(answer),
                _ if status >= 500 || kind.contains("Throttling") || kind == "LimitExceededException" => match pauses.next() {
                    Some(pause) => std::thread::sleep(pause),
                    None => return Err(self.refused(status, &kind, &answer)),
                },
                _ => return Err(self.refused(status, &kind, &answer)),
            }
        }
    }

    fn send(&self, action: &str, body: &Value) -> Result<(u16, Value)> {
        let failed = |why: String| Error::new(Kind::Storage, format!("{}: KMS cannot be reached", self.origin)).detail(why);
        let credential: Arc<AwsCredential> = self
            .runtime
            .block_on(self.credentials.get_credential())
            .map_err(|error| failed("no credentials were given".into()).source(error))?;
        let bytes = bytes::Bytes::from(body.to_string());
        let mut request: HttpRequest = HttpRequest::new(HttpRequestBody::from(bytes.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.endpoint.parse().map_err(|_| failed(format!("{} is no URL", self.endpoint)))?;
        for (name, value) in [("content-type", "application/x-amz-json-1.1".to_owned()), ("x-amz-target", format!("TrentService.{action}"))]
        {
            request.headers_mut().insert(name, value.parse().map_err(|_| failed("a header cannot be written".into()))?);
        }
        AwsAuthorizer::new(&credential, "kms", &self.region)
            .try_authorize(&mut request, None)
            .map_err(|error| failed("the request cannot be signed".into()).source(error))?;
        let (parts, _) = request.into_parts();
        let response = self.http.post(parts.uri.to_string()).headers(parts.headers).body(bytes).send();
        let response = response.map_err(|error| failed("it does not answer".into()).source(error))?;
        let status = response.status().as_u16();
        let bytes = response.bytes().map_err(|error| failed("it does not answer".into()).source(error))?;
        Ok((status, serde_json::from_slice(&bytes).unwrap_or_default()))
    }

    fn refused(&self, status: u16, kind: &str, answer: &Value) -> Error {
        let said = answer["message"].as_str().or(answer["Message"].as_str()).unwrap_or("no reason given");
        let (class, hint) = match kind {
            "AccessDeniedException"
            | "IncompleteSignatureException"
            | "InvalidSignatureException"
            | "UnrecognizedClientException"
            | "ExpiredTokenException" => (Kind::Permission, "the credentials need kms:Sign and kms:GetPublicKey on this key"),
            "NotFoundException" => (Kind::NotFound, "write the key's id, ARN or alias/NAME, and check the region"),
            "DisabledException" | "KMSInvalidStateException" => {
                (Kind::Permission, "the key is disabled or about to be deleted: look at it in the AWS console")
            }
            _ if kind.contains("Throttling") => (Kind::Storage, "KMS throttles this account: try again later, or ask for a higher quota"),
            _ => (Kind::Storage, "try again; nothing was signed"),
        };
        Error::new(class, format!("{}: KMS refuses", self.origin)).detail(format!("{kind} ({status}): {said}")).hint(hint)
    }
}
