//! Keys in the transit engine of Vault and OpenBao (preview: tested against an imitation). The address and the credentials
//! come from the variables that their own programs read: `VAULT_ADDR`, `VAULT_NAMESPACE`, `VAULT_CACERT`; `VAULT_TOKEN` or
//! `VAULT_TOKEN_FILE`; or for AppRole `VAULT_ROLE_ID` with `VAULT_SECRET_ID` or `VAULT_SECRET_ID_FILE`.

use super::device::{Device, Operation};
use super::{Secret, read_private};
use crate::failure::{Failure, Kind, Result};
use crate::metadata::PublicKey;
use openssl::base64::{decode_block, encode_block};
use reqwest::Method;
use reqwest::blocking::Client;
use sequoia_openpgp::types::HashAlgorithm;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A request that takes longer is hung.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often a request that was throttled or met a failing server is tried.
const TRIES: u32 = 5;

/// What a vault: URI says: `vault:NAME`, `vault:MOUNT/NAME`, either with `@VERSION`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VaultUri {
    mount: String,
    name: String,
    version: Option<u64>,
}

impl VaultUri {
    /// Reads what follows `vault:`.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = || {
            Failure::invalid(format!("`vault:{}` names no key", text.escape_debug()))
                .hint("write vault:NAME, vault:MOUNT/NAME or vault:NAME@VERSION")
        };
        let (path, version) = match text.split_once('@') {
            Some((path, version)) => (path, Some(version.parse().ok().filter(|version: &u64| *version > 0).ok_or_else(wrong)?)),
            None => (text, None),
        };
        let (mount, name) = path.rsplit_once('/').unwrap_or(("transit", path));
        let fits = |part: &str| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-/".contains(&b)) && !part.contains("..")
        };
        if !fits(mount) || !fits(name) {
            return Err(wrong());
        }
        Ok(Self { mount: mount.into(), name: name.into(), version })
    }
}

impl std::fmt::Display for VaultUri {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let version = self.version.map_or(String::new(), |version| format!("@{version}"));
        write!(f, "vault:{}/{}{version}", self.mount, self.name)
    }
}

/// A key of the transit engine.
pub(super) struct TransitKey {
    connection: Connection,
    uri: VaultUri,
    version: u64,
    public: PublicKey,
    origin: String,
}

impl TransitKey {
    pub(super) fn open(uri: &VaultUri) -> Result<Self> {
        let origin = uri.to_string();
        let connection = Connection::open(&origin)?;
        let answer = connection.call(&Method::GET, &format!("{}/keys/{}", uri.mount, uri.name), None)?;
        let data = &answer["data"];
        let version = uri.version.or_else(|| data["latest_version"].as_u64()).unwrap_or(1);
        let missing = || Failure::new(Kind::NotFound, format!("{origin}: the key has no version {version}"));
        let text = data["keys"][version.to_string()]["public_key"].as_str().ok_or_else(missing)?;
        let kind = data["type"].as_str().unwrap_or_default();
        let unusable = || {
            Failure::invalid(format!("{origin} is a key of type `{}`", kind.escape_debug()))
                .hint("ed25519, ecdsa-p256 and rsa-2048 to rsa-4096 can sign roles")
        };
        let public = match kind {
            "ed25519" => PublicKey::ed25519(&decode_block(text).ok().and_then(|bytes| bytes.try_into().ok()).ok_or_else(unusable)?)?,
            "ecdsa-p256" => PublicKey::p256(&format!("{}\n", text.trim_end()))?,
            _ if kind.starts_with("rsa-") => PublicKey::rsa(&format!("{}\n", text.trim_end()))?,
            _ => return Err(unusable()),
        };
        Ok(Self { connection, uri: uri.clone(), version, public, origin })
    }
}

impl Device for TransitKey {
    fn public(&self) -> &PublicKey {
        &self.public
    }

    fn perform(&self, operation: Operation<'_>) -> Result<Vec<u8>> {
        let mut body = json!({"key_version": self.version});
        let prehashed = |digest: &[u8], hash: &str| json!({"key_version": self.version, "input": encode_block(digest), "prehashed": true, "hash_algorithm": hash});
        match operation {
            Operation::Ed25519(message) => body["input"] = json!(encode_block(message)),
            Operation::Ecdsa(digest) => {
                body = prehashed(digest, "sha2-256");
                body["marshaling_algorithm"] = json!("asn1");
            }
            Operation::Pss(message) => {
                body = prehashed(&openssl::sha::sha256(message), "sha2-256");
                body["signature_algorithm"] = json!("pss");
                body["salt_length"] = json!("hash");
            }
            Operation::Pkcs1(hash, digest) => {
                let name = match hash {
                    HashAlgorithm::SHA384 => "sha2-384",
                    HashAlgorithm::SHA512 => "sha2-512",
                    _ => "sha2-256",
                };
                body = prehashed(digest, name);
                body["signature_algorithm"] = json!("pkcs1v15");
            }
        }
        let answer = self.connection.call(&Method::POST, &format!("{}/sign/{}", self.uri.mount, self.uri.name), Some(&body))?;
        let signature =
            answer["data"]["signature"].as_str().and_then(|text| text.rsplit(':').next()).and_then(|text| decode_block(text).ok());
        signature.ok_or_else(|| Failure::new(Kind::Untrusted, format!("{}: the answer holds no signature", self.origin)))
    }

    fn origin(&self) -> &str {
        &self.origin
    }
}

/// The server and the token for it, renewed while it is used.
struct Connection {
    http: Client,
    address: String,
    namespace: Option<String>,
    role: Option<(Secret, Secret)>,
    token: Mutex<Token>,
    origin: String,
}

struct Token {
    value: Secret,
    /// Half of its life; past this it is renewed.
    renew_at: Option<Instant>,
}

impl Connection {
    fn open(origin: &str) -> Result<Self> {
        let missing = |what: &str| {
            Failure::new(Kind::NotFound, format!("{origin}: {what} is not set"))
                .hint("set VAULT_ADDR, and VAULT_TOKEN or VAULT_ROLE_ID with VAULT_SECRET_ID; each secret also as …_FILE")
        };
        let address = variable("VAULT_ADDR").ok_or_else(|| missing("VAULT_ADDR"))?;
        let host = address.split("://").nth(1).and_then(|rest| rest.split(['/', ':']).next()).unwrap_or_default();
        if !address.starts_with("https://") && !matches!(host, "127.0.0.1" | "localhost") {
            return Err(Failure::invalid(format!("{origin}: VAULT_ADDR is not https:// and not this machine"))
                .hint("tokens do not travel in the clear"));
        }
        let mut builder = Client::builder().timeout(PATIENCE);
        if let Some(path) = variable("VAULT_CACERT") {
            let pem = std::fs::read(&path).map_err(|error| Failure::io("read", &path, error))?;
            let certificate = reqwest::Certificate::from_pem(&pem)
                .map_err(|error| Failure::invalid(format!("{path} holds no certificate")).source(error))?;
            builder = builder.add_root_certificate(certificate);
        }
        let http = builder.build().map_err(|error| Failure::new(Kind::Unexpected, "cannot make a client for Vault").source(error))?;
        let role = match (secret("VAULT_ROLE_ID")?, secret("VAULT_SECRET_ID")?) {
            (Some(role), Some(id)) => Some((role, id)),
            _ => None,
        };
        let given = secret("VAULT_TOKEN")?;
        if given.is_none() && role.is_none() {
            return Err(missing("neither a token nor an AppRole"));
        }
        let token = Token { value: given.clone().unwrap_or_else(|| Secret::new(Vec::new())), renew_at: None };
        let connection =
            Self { http, address, namespace: variable("VAULT_NAMESPACE"), role, token: Mutex::new(token), origin: origin.to_owned() };
        if given.is_none() {
            connection.log_in()?;
        } else if let Ok(found) = connection.call(&Method::GET, "auth/token/lookup-self", None)
            && found["data"]["renewable"] == true
        {
            connection.keep_until(found["data"]["ttl"].as_u64());
        }
        Ok(connection)
    }

    fn keep_until(&self, seconds: Option<u64>) {
        let half = seconds.filter(|seconds| *seconds > 0).map(|seconds| Instant::now() + Duration::from_secs(seconds) / 2);
        self.token.lock().unwrap_or_else(PoisonError::into_inner).renew_at = half;
    }

    /// A new token for the AppRole.
    fn log_in(&self) -> Result<()> {
        let Some((role, id)) = &self.role else { return Ok(()) };
        let text = |secret: &Secret| String::from_utf8_lossy(secret.expose()).into_owned();
        let (status, answer) =
            self.send(&Method::POST, "auth/approle/login", Some(&json!({"role_id": text(role), "secret_id": text(id)})))?;
        let token = answer["auth"]["client_token"].as_str().filter(|_| status < 300);
        let token = token.ok_or_else(|| self.refused(status, &answer, "the AppRole was not let in"))?;
        self.token.lock().unwrap_or_else(PoisonError::into_inner).value = Secret::new(token.as_bytes());
        self.keep_until(answer["auth"]["lease_duration"].as_u64());
        Ok(())
    }

    /// Renews a token that is past half of its life; one that cannot be renewed is used until it ends.
    fn renew(&self) {
        let due = self.token.lock().unwrap_or_else(PoisonError::into_inner).renew_at.is_some_and(|at| Instant::now() >= at);
        if !due {
            return;
        }
        match self.send(&Method::POST, "auth/token/renew-self", Some(&json!({}))) {
            Ok((200, answer)) => self.keep_until(answer["auth"]["lease_duration"].as_u64()),
            _ if self.role.is_some() => drop(self.log_in()),
            _ => self.keep_until(None),
        }
    }

    fn call(&self, method: &Method, path: &str, body: Option<&Value>) -> Result<Value> {
        self.renew();
        let mut logged_in = false;
        for attempt in 1.. {
            let (status, answer) = match self.send(method, path, body) {
                Err(failure) if attempt >= TRIES => return Err(failure),
                Err(_) => {
                    std::thread::sleep(backoff(attempt));
                    continue;
                }
                Ok(answer) => answer,
            };
            match status {
                200..300 => return Ok(answer),
                // The token has ended; the AppRole gives another, once.
                403 if self.role.is_some() && !logged_in => {
                    self.log_in()?;
                    logged_in = true;
                }
                429 | 500 | 502 | 504 if attempt < TRIES => std::thread::sleep(backoff(attempt)),
                _ => return Err(self.refused(status, &answer, path)),
            }
        }
        Err(Failure::new(Kind::Unexpected, "no attempt was made"))
    }

    fn send(&self, method: &Method, path: &str, body: Option<&Value>) -> Result<(u16, Value)> {
        let token = self.token.lock().unwrap_or_else(PoisonError::into_inner).value.clone();
        let mut request = self.http.request(method.clone(), format!("{}/v1/{path}", self.address.trim_end_matches('/')));
        if !token.expose().is_empty() {
            let mut header = reqwest::header::HeaderValue::from_bytes(token.expose())
                .map_err(|_| Failure::invalid(format!("{}: the token is not one", self.origin)))?;
            header.set_sensitive(true);
            request = request.header("X-Vault-Token", header);
        }
        if let Some(namespace) = &self.namespace {
            request = request.header("X-Vault-Namespace", namespace);
        }
        if let Some(body) = body {
            request = request.header("Content-Type", "application/json").body(body.to_string());
        }
        // The URL of a failed request is the key's; nothing of the body is in the error.
        let unreachable =
            |error: reqwest::Error| Failure::new(Kind::Storage, format!("{}: Vault does not answer", self.origin)).source(error);
        let response = request.send().map_err(unreachable)?;
        let status = response.status().as_u16();
        let bytes = response.bytes().map_err(unreachable)?;
        Ok((status, serde_json::from_slice(&bytes).unwrap_or_default()))
    }

    fn refused(&self, status: u16, answer: &Value, what: &str) -> Failure {
        let said = answer["errors"].as_array().into_iter().flatten().filter_map(Value::as_str).map(|text| format!("Vault says: {text}"));
        let said: Vec<String> = said.collect();
        let (kind, message, hint) = match status {
            503 => (Kind::Storage, "Vault is sealed or in maintenance", "unseal it, then run the same command again"),
            403 => (
                Kind::Permission,
                "Vault refuses: the token may not use the key, or has expired",
                "give a fresh token, or an AppRole, which gets fresh ones by itself",
            ),
            404 => {
                (Kind::NotFound, "Vault has no such key or mount", "write vault:MOUNT/NAME; vault list MOUNT/keys shows those there are")
            }
            429 => (Kind::Storage, "Vault throttles the requests", "try again later"),
            _ => (Kind::Storage, "Vault failed", ""),
        };
        let failure = Failure::new(kind, format!("{}: {message} ({what}, status {status})", self.origin)).details(said);
        if hint.is_empty() { failure } else { failure.hint(hint) }
    }
}

fn backoff(attempt: u32) -> Duration {
    Duration::from_millis(100 << attempt.min(5))
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// A secret from a variable, or from the file that the variable with `_FILE` names.
fn secret(name: &str) -> Result<Option<Secret>> {
    if let Some(value) = variable(name) {
        return Ok(Some(Secret::new(value.into_bytes())));
    }
    let Some(path) = variable(&format!("{name}_FILE")) else { return Ok(None) };
    let file = read_private(Path::new(&path))?;
    Ok(Some(Secret::new(file.trim_ascii())))
}
