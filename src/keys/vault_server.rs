//! The server behind `vault:` keys, and the token for it. The address and the credentials come from the variables that
//! Vault's own programs read: `VAULT_ADDR`, `VAULT_NAMESPACE`, `VAULT_CACERT`; `VAULT_TOKEN` or `VAULT_TOKEN_FILE`; or for
//! AppRole `VAULT_ROLE_ID` with `VAULT_SECRET_ID` or `VAULT_SECRET_ID_FILE`.

use super::pauses::pauses;
use super::{Secret, read_private};
use crate::error::{Error, Kind, Result};
use crate::files::{GIVEN_FILE_LIMIT, read_given};
use crate::transport;
use reqwest::Method;
use reqwest::blocking::Client;
use reqwest::header::HeaderValue;
use reqwest::redirect::Policy;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A request that takes longer is hung.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often a request that was throttled or met a failing server is tried.
const TRIES: usize = 5;

/// The server, and a token that is kept for as long as the process runs.
pub(super) struct VaultServer {
    http: Client,
    address: String,
    namespace: Option<String>,
    credentials: Credentials,
    token: Mutex<Token>,
    /// Held while a new token is got: a hundred requests that were refused together need one.
    refreshing: Mutex<()>,
}

/// Where tokens come from.
enum Credentials {
    /// There is this one.
    Token,
    /// Another process, such as Vault's agent, keeps a valid one there.
    File(PathBuf),
    /// Each login gives one.
    AppRole { role: Secret, secret: Secret },
}

struct Token {
    value: Secret,
    /// Half of its life; past this it is renewed.
    renew_at: Option<Instant>,
}

impl VaultServer {
    /// One for the whole process: an AppRole's secret may be good for a single login. `origin` is the key that needs it, for errors.
    pub(super) fn of_process(origin: &str) -> Result<Arc<Self>> {
        static SERVER: Mutex<Option<Arc<VaultServer>>> = Mutex::new(None);
        let mut known = SERVER.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = &*known {
            return Ok(server.clone());
        }
        let server = Arc::new(Self::open(origin)?);
        if server.renew_at().is_some() {
            let renewed = server.clone();
            let keeper = std::thread::Builder::new().name("vault token".into()).spawn(move || renewed.keep_alive());
            keeper.map_err(|error| Error::io("start a thread to renew the token of", origin, error))?;
        }
        Ok(known.insert(server).clone())
    }

    fn open(origin: &str) -> Result<Self> {
        let missing = |what: &str| {
            Error::new(Kind::NotFound, format!("{origin}: {what} is not set"))
                .hint("set VAULT_ADDR, and VAULT_TOKEN or VAULT_ROLE_ID with VAULT_SECRET_ID; each secret also as …_FILE")
        };
        let address = variable("VAULT_ADDR").ok_or_else(|| missing("VAULT_ADDR"))?;
        transport::check(&address, &format!("{origin}: VAULT_ADDR"))?;
        // A standby names the active server; the token must not follow to anything less than that.
        let policy = Policy::custom(|attempt| {
            let safe = attempt.previous().iter().all(|before| before.scheme() == attempt.url().scheme())
                && transport::check(attempt.url().as_str(), "a redirect").is_ok();
            if safe && attempt.previous().len() < 3 { attempt.follow() } else { attempt.stop() }
        });
        let mut builder = Client::builder().timeout(PATIENCE).redirect(policy);
        if transport::is_local(&address) {
            builder = builder.no_proxy();
        }
        if let Some(path) = variable("VAULT_CACERT") {
            let pem = read_given(Path::new(&path), GIVEN_FILE_LIMIT).map_err(|error| Error::io("read", &path, error))?;
            let certificate = reqwest::Certificate::from_pem(&pem)
                .map_err(|error| Error::invalid(format!("{path} contains no certificate")).source(error))?;
            builder = builder.add_root_certificate(certificate);
        }
        let http = builder.build().map_err(|error| Error::new(Kind::Unexpected, "cannot make a client for Vault").source(error))?;
        let (credentials, value) = match (secret("VAULT_TOKEN")?, secret("VAULT_ROLE_ID")?, secret("VAULT_SECRET_ID")?) {
            (Some(token), ..) => match variable("VAULT_TOKEN") {
                Some(_) => (Credentials::Token, Some(token)),
                None => (Credentials::File(variable("VAULT_TOKEN_FILE").unwrap_or_default().into()), Some(token)),
            },
            (None, Some(role), Some(secret)) => (Credentials::AppRole { role, secret }, None),
            _ => return Err(missing("neither a token nor an AppRole")),
        };
        if value.as_ref().is_some_and(|value| HeaderValue::from_bytes(value.expose()).is_err()) {
            return Err(Error::invalid(format!("{origin}: VAULT_TOKEN or its file does not contain a token"))
                .hint("it is one line, as Vault printed it"));
        }
        let token = Mutex::new(Token { value: value.unwrap_or_else(|| Secret::new(Vec::new())), renew_at: None });
        let namespace = variable("VAULT_NAMESPACE");
        let server = Self { http, address, namespace, credentials, token, refreshing: Mutex::new(()) };
        if let Credentials::AppRole { .. } = server.credentials {
            server.log_in(origin)?;
        } else if let Ok(found) = server.call(origin, &Method::GET, "auth/token/lookup-self", None)
            && found["data"]["renewable"] == true
        {
            server.renew_after(found["data"]["ttl"].as_u64());
        }
        Ok(server)
    }

    /// Asks Vault, again where it is busy or the token has ended and there is another.
    pub(super) fn call(&self, origin: &str, method: &Method, path: &str, body: Option<&Value>) -> Result<Value> {
        let mut refreshed = false;
        let mut pauses = pauses(TRIES);
        loop {
            let token = self.token();
            let (status, answer) = match self.send(&token, method, path, body) {
                Err(error) => {
                    // The URL is the key's, and nothing of the body is in the error.
                    let gone = || Error::new(Kind::Storage, format!("{origin}: Vault does not answer")).source(error);
                    std::thread::sleep(pauses.next().ok_or_else(gone)?);
                    continue;
                }
                Ok(answer) => answer,
            };
            match status {
                200..300 => return Ok(answer),
                403 if !refreshed && self.refresh(origin, &token)? => refreshed = true,
                429 | 500 | 502 | 504 if !is_too_long(status, &answer) => match pauses.next() {
                    Some(pause) => std::thread::sleep(pause),
                    None => return Err(refused(origin, status, &answer, path)),
                },
                _ => return Err(refused(origin, status, &answer, path)),
            }
        }
    }

    fn token(&self) -> Secret {
        self.token.lock().unwrap_or_else(PoisonError::into_inner).value.clone()
    }

    fn renew_at(&self) -> Option<Instant> {
        self.token.lock().unwrap_or_else(PoisonError::into_inner).renew_at
    }

    fn renew_after(&self, lifetime: Option<u64>) {
        let half = lifetime.filter(|seconds| *seconds > 0).and_then(|seconds| Instant::now().checked_add(Duration::from_secs(seconds) / 2));
        self.token.lock().unwrap_or_else(PoisonError::into_inner).renew_at = half;
    }

    /// Another token than this one, which was refused. Says whether there is one.
    fn refresh(&self, origin: &str, refused: &Secret) -> Result<bool> {
        let _turn = self.refreshing.lock().unwrap_or_else(PoisonError::into_inner);
        if self.token().expose() != refused.expose() {
            return Ok(true);
        }
        match &self.credentials {
            Credentials::Token => Ok(false),
            Credentials::File(path) => {
                let token = Secret::new(read_private(path)?.trim_ascii());
                let is_other = token.expose() != refused.expose();
                self.token.lock().unwrap_or_else(PoisonError::into_inner).value = token;
                Ok(is_other)
            }
            Credentials::AppRole { .. } => self.log_in(origin).map(|()| true),
        }
    }

    /// A new token for the AppRole.
    fn log_in(&self, origin: &str) -> Result<()> {
        let Credentials::AppRole { role, secret } = &self.credentials else { return Ok(()) };
        let text = |secret: &Secret| String::from_utf8_lossy(secret.expose()).into_owned();
        let body = json!({"role_id": text(role), "secret_id": text(secret)});
        let (status, answer) = self
            .send(&Secret::new(Vec::new()), &Method::POST, "auth/approle/login", Some(&body))
            .map_err(|error| Error::new(Kind::Storage, format!("{origin}: Vault does not answer")).source(error))?;
        let token = answer["auth"]["client_token"].as_str().filter(|_| status < 300);
        let token = token.ok_or_else(|| refused(origin, status, &answer, "the AppRole login was refused"))?;
        self.token.lock().unwrap_or_else(PoisonError::into_inner).value = Secret::new(token.as_bytes());
        self.renew_after(answer["auth"]["lease_duration"].as_u64());
        Ok(())
    }

    /// Renews the token at half of its life, as long as the process runs: a service may be idle for longer than it is valid.
    /// One that cannot be renewed any more is used until it ends, and then replaced if there is a way to.
    fn keep_alive(&self) {
        while let Some(at) = self.renew_at() {
            std::thread::sleep(at.saturating_duration_since(Instant::now()));
            let token = self.token();
            match self.send(&token, &Method::POST, "auth/token/renew-self", Some(&json!({}))) {
                Ok((200, answer)) if answer["auth"]["renewable"] == true => self.renew_after(answer["auth"]["lease_duration"].as_u64()),
                Ok((429 | 500.., _)) | Err(_) => self.renew_after(Some(2)),
                Ok(_) if matches!(self.credentials, Credentials::AppRole { .. }) => {
                    if self.refresh("vault:", &token).is_err() {
                        self.renew_after(Some(2));
                    }
                }
                Ok(_) => self.renew_after(None),
            }
        }
    }

    fn send(&self, token: &Secret, method: &Method, path: &str, body: Option<&Value>) -> reqwest::Result<(u16, Value)> {
        let mut request = self.http.request(method.clone(), format!("{}/v1/{path}", self.address.trim_end_matches('/')));
        if let Some(mut header) = HeaderValue::from_bytes(token.expose()).ok().filter(|header| !header.is_empty()) {
            header.set_sensitive(true);
            request = request.header("X-Vault-Token", header);
        }
        if let Some(namespace) = &self.namespace {
            request = request.header("X-Vault-Namespace", namespace);
        }
        if let Some(body) = body {
            request = request.header("Content-Type", "application/json").body(body.to_string());
        }
        let response = request.send()?;
        let status = response.status().as_u16();
        Ok((status, serde_json::from_slice(&response.bytes()?).unwrap_or_default()))
    }
}

fn said(answer: &Value) -> impl Iterator<Item = &str> {
    answer["errors"].as_array().into_iter().flatten().filter_map(Value::as_str)
}

/// Vault bounds the length of requests, and of each text in them.
fn is_too_long(status: u16, answer: &Value) -> bool {
    status == 413 || said(answer).any(|text| text.contains("exceeds allowed length") || text.contains("request body too large"))
}

fn refused(origin: &str, status: u16, answer: &Value, what: &str) -> Error {
    let (kind, message, hint) = match status {
        _ if is_too_long(status, answer) => (
            Kind::Invalid,
            "Vault refuses messages as long as this role file, and an Ed25519 key signs the whole message",
            "use a P-256 or RSA key for this role, because these sign a digest; or raise `max_json_string_value_length` in the listener of Vault's config",
        ),
        503 => (Kind::Storage, "Vault is sealed or in maintenance", "unseal it, then run the same command again"),
        403 => (
            Kind::Permission,
            "Vault refuses: the token may not use the key, or has expired",
            "set a new token, or an AppRole, which renews its token; the policy needs `read` on MOUNT/keys/NAME and `update` on MOUNT/sign/NAME",
        ),
        404 => (Kind::NotFound, "Vault has no such key or mount", "write vault:MOUNT/NAME; `vault list MOUNT/keys` lists the keys"),
        429 => (Kind::Storage, "Vault throttles the requests", "try again later"),
        _ => (Kind::Storage, "Vault failed", ""),
    };
    let details = said(answer).map(|text| format!("Vault says: {}", text.split_whitespace().collect::<Vec<_>>().join(" ")));
    let failure = Error::new(kind, format!("{origin}: {message} ({what}, status {status})")).details(details);
    if hint.is_empty() { failure } else { failure.hint(hint) }
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
