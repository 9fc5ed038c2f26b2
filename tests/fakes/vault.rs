//! As much of Vault's transit engine, AppRole and tokens as a publisher uses: it signs, seals, throttles, and tokens end.

use super::http::{Request, Response, serve};
use super::keyring::Key;
use openssl::base64::{decode_block, encode_block};
use openssl::md::Md;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

pub const TOKEN: &str = "hvs.test-only-token-of-the-operator";
pub const SECRET_ID: &str = "test-only-secret-id";

#[derive(Default)]
struct State {
    keys: BTreeMap<String, Vec<Key>>,
    /// Uses that are left, by token.
    tokens: BTreeMap<String, usize>,
    sealed: bool,
    throttle: usize,
    /// Refuses everything after so many signatures.
    seal_after: Option<usize>,
    lifetime: u64,
    log: Vec<String>,
    /// Signs with the wrong key.
    lies: bool,
}

#[derive(Clone)]
pub struct Vault {
    pub url: String,
    state: Arc<Mutex<State>>,
}

impl Vault {
    pub fn start(keys: &[(&str, &str)]) -> Self {
        let keys = keys.iter().map(|(name, kind)| ((*name).to_owned(), vec![Key::new(kind)])).collect();
        let tokens = BTreeMap::from([(TOKEN.to_owned(), usize::MAX)]);
        let state = Arc::new(Mutex::new(State { keys, tokens, lifetime: 3600, ..State::default() }));
        let inner = state.clone();
        let url = serve(move |request| Some(answer(&mut inner.lock().unwrap(), &request)));
        Self { url, state }
    }

    pub fn seal(&self, sealed: bool) {
        self.state.lock().unwrap().sealed = sealed;
    }

    pub fn seal_after(&self, signatures: usize) {
        self.state.lock().unwrap().seal_after = Some(signatures);
    }

    pub fn throttle(&self, times: usize) {
        self.state.lock().unwrap().throttle = times;
    }

    pub fn lifetime(&self, seconds: u64) {
        self.state.lock().unwrap().lifetime = seconds;
    }

    /// The token works so many times more.
    pub fn ends_after(&self, token: &str, uses: usize) {
        self.state.lock().unwrap().tokens.insert(token.into(), uses);
    }

    pub fn lie(&self, lies: bool) {
        self.state.lock().unwrap().lies = lies;
    }

    pub fn rotate(&self, name: &str, kind: &str) {
        self.state.lock().unwrap().keys.get_mut(name).unwrap().push(Key::new(kind));
    }

    pub fn log(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().log)
    }
}

fn errors(status: u16, text: &str) -> Response {
    Response::new(status).body(json!({"errors": [text]}).to_string())
}

fn answer(state: &mut State, request: &Request) -> Response {
    state.log.push(format!("{} {}", request.method, request.target));
    if state.sealed {
        return errors(503, "Vault is sealed");
    }
    if state.throttle > 0 {
        state.throttle -= 1;
        return errors(429, "request path: rate limit quota exceeded");
    }
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let path = request.target.strip_prefix("/v1/").unwrap_or_default();
    let lease = json!({"lease_duration": state.lifetime, "renewable": true});
    if path == "auth/approle/login" {
        if body["secret_id"] != SECRET_ID || body["role_id"] != "publisher" {
            return errors(400, "invalid role or secret ID");
        }
        let token = format!("hvs.of-the-role-{}", state.tokens.len());
        state.tokens.insert(token.clone(), usize::MAX);
        let mut auth = lease;
        auth["client_token"] = json!(token);
        return Response::new(200).body(json!({"auth": auth}).to_string());
    }
    let token = request.headers.get("x-vault-token").cloned().unwrap_or_default();
    match state.tokens.get_mut(&token) {
        Some(uses) if *uses > 0 => *uses -= 1,
        _ => return errors(403, "permission denied"),
    }
    let mut parts = path.split('/');
    match (request.method.as_str(), parts.next(), parts.next(), parts.next()) {
        ("GET", Some("auth"), Some("token"), _) => {
            Response::new(200).body(json!({"data": {"ttl": state.lifetime, "renewable": true}}).to_string())
        }
        ("POST", Some("auth"), Some("token"), Some("renew-self")) => Response::new(200).body(json!({"auth": lease}).to_string()),
        ("GET", Some("transit"), Some("keys"), Some(name)) => match state.keys.get(name) {
            Some(versions) => Response::new(200).body(json!({"data": describe(versions)}).to_string()),
            None => errors(404, ""),
        },
        ("POST", Some("transit"), Some("sign"), Some(name)) => {
            if let Some(left) = &mut state.seal_after {
                if *left == 0 {
                    state.sealed = true;
                    return errors(503, "Vault is sealed");
                }
                *left -= 1;
            }
            let version = body["key_version"].as_u64().unwrap() as usize;
            let mut key = state.keys[name][version - 1].clone();
            if state.lies {
                key = Key::new(match key {
                    Key::Ed25519(_) => "ed25519",
                    Key::P256(_) => "p256",
                    Key::Rsa(_) => "rsa",
                });
            }
            let text = body["input"].as_str().unwrap();
            // As Vault does by default since 1.20.3.
            if text.len() > 1 << 20 {
                return errors(500, "JSON string value exceeds allowed length");
            }
            let input = decode_block(text).unwrap();
            Response::new(200)
                .body(json!({"data": {"signature": format!("vault:v{version}:{}", encode_block(&sign(&key, &input, &body)))}}).to_string())
        }
        _ => errors(404, ""),
    }
}

fn describe(versions: &[Key]) -> Value {
    let mut keys = serde_json::Map::new();
    let mut kind = "";
    for (at, key) in versions.iter().enumerate() {
        let pem = || String::from_utf8(key.pkey().public_key_to_pem().unwrap()).unwrap();
        let (name, public) = match key {
            Key::Ed25519(key) => ("ed25519", encode_block(&key.raw_public_key().unwrap())),
            Key::P256(_) => ("ecdsa-p256", pem()),
            Key::Rsa(_) => ("rsa-2048", pem()),
        };
        kind = name;
        keys.insert((at + 1).to_string(), json!({"public_key": public}));
    }
    json!({"type": kind, "latest_version": versions.len(), "keys": keys})
}

fn sign(key: &Key, input: &[u8], body: &Value) -> Vec<u8> {
    match key {
        Key::Ed25519(_) => key.message(input),
        Key::P256(_) => {
            assert_eq!((&body["prehashed"], &body["marshaling_algorithm"]), (&true.into(), &"asn1".into()));
            key.digest(input)
        }
        Key::Rsa(_) => {
            assert_eq!(body["prehashed"], true);
            let pss = body["signature_algorithm"] == "pss";
            key.rsa(input, pss, Md::sha256())
        }
    }
}
