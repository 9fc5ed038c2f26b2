//! As much of AWS KMS as a publisher uses. It checks what the real one does and moto does not: the signature of each
//! request, and that digests are digests.

use super::http::{Request, Response, serve};
use super::keyring::{Key, hmac};
use openssl::base64::{decode_block, encode_block};
use openssl::md::Md;
use openssl::sha::sha256;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

pub const ACCESS_KEY: &str = "AKIATESTONLY";
pub const SECRET: &str = "test-only-secret-access-key";

#[derive(Default)]
struct State {
    throttle: usize,
    log: Vec<String>,
}

#[derive(Clone)]
pub struct Kms {
    pub url: String,
    state: Arc<Mutex<State>>,
}

impl Kms {
    pub fn start(keys: &[(&str, &str)]) -> Self {
        let keys: BTreeMap<String, Key> = keys.iter().map(|(name, kind)| ((*name).to_owned(), Key::new(kind))).collect();
        let state = Arc::new(Mutex::new(State::default()));
        let inner = state.clone();
        let url = serve(move |request| Some(answer(&keys, &mut inner.lock().unwrap(), &request)));
        Self { url, state }
    }

    pub fn throttle(&self, times: usize) {
        self.state.lock().unwrap().throttle = times;
    }

    pub fn log(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().log)
    }
}

fn refuse(kind: &str, message: &str) -> Response {
    Response::new(400).body(json!({"__type": kind, "message": message}).to_string())
}

fn answer(keys: &BTreeMap<String, Key>, state: &mut State, request: &Request) -> Response {
    let action = request.headers.get("x-amz-target").cloned().unwrap_or_default();
    state.log.push(action.clone());
    if let Err(why) = check_signature(request) {
        return refuse("InvalidSignatureException", &why);
    }
    if state.throttle > 0 {
        state.throttle -= 1;
        return refuse("ThrottlingException", "Rate exceeded");
    }
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    let name = body["KeyId"].as_str().unwrap();
    if name == "alias/forbidden" {
        return refuse("AccessDeniedException", "is not authorized to perform: kms:GetPublicKey");
    }
    let Some(key) = keys.get(name) else { return refuse("NotFoundException", "Key does not exist") };
    let spec = match key {
        Key::Ed25519(_) => "ECC_NIST_EDWARDS25519",
        Key::P256(_) => "ECC_NIST_P256",
        Key::Rsa(_) => "RSA_2048",
    };
    if action == "TrentService.GetPublicKey" {
        let der = key.pkey().public_key_to_der().unwrap();
        return Response::new(200).body(json!({"KeyId": name, "KeySpec": spec, "PublicKey": encode_block(&der)}).to_string());
    }
    assert_eq!(action, "TrentService.Sign");
    let message = decode_block(body["Message"].as_str().unwrap()).unwrap();
    let algorithm = body["SigningAlgorithm"].as_str().unwrap();
    if body["MessageType"] != "DIGEST" || message.len() != 32 {
        return refuse("ValidationException", "Digest is invalid length for algorithm");
    }
    let signature = match (key, algorithm) {
        (Key::P256(_), "ECDSA_SHA_256") => key.digest(&message),
        (Key::Rsa(_), "RSASSA_PSS_SHA_256") => key.rsa(&message, true, Md::sha256()),
        (Key::Rsa(_), "RSASSA_PKCS1_V1_5_SHA_256") => key.rsa(&message, false, Md::sha256()),
        _ => return refuse("InvalidKeyUsageException", "algorithm does not fit the key"),
    };
    Response::new(200).body(json!({"KeyId": name, "Signature": encode_block(&signature), "SigningAlgorithm": algorithm}).to_string())
}

/// Signature version 4, computed again.
fn check_signature(request: &Request) -> Result<(), String> {
    let header = |name: &str| request.headers.get(name).cloned().ok_or(format!("no {name}"));
    let authorization = header("authorization")?;
    let rest = authorization.strip_prefix("AWS4-HMAC-SHA256 ").ok_or("another algorithm")?;
    let fields: BTreeMap<&str, &str> = rest.split(',').filter_map(|field| field.trim().split_once('=')).collect();
    let (credential, signed, signature) = (fields["Credential"], fields["SignedHeaders"], fields["Signature"]);
    let scope: Vec<&str> = credential.split('/').collect();
    let [access_key, date, region, "kms", "aws4_request"] = scope.as_slice() else { return Err(format!("the scope {credential}")) };
    if *access_key != ACCESS_KEY {
        return Err("another access key".into());
    }
    let payload = hex::encode(sha256(&request.body));
    if header("x-amz-content-sha256").is_ok_and(|stated| stated != payload) {
        return Err("another payload".into());
    }
    let headers: String = signed.split(';').map(|name| Ok(format!("{name}:{}\n", header(name)?))).collect::<Result<_, String>>()?;
    if !signed.split(';').any(|name| name == "host") || !signed.split(';').any(|name| name == "x-amz-date") {
        return Err("host and date are not signed".into());
    }
    let canonical = format!("{}\n{}\n\n{headers}\n{signed}\n{payload}", request.method, request.target);
    let to_sign = format!(
        "AWS4-HMAC-SHA256\n{}\n{date}/{region}/kms/aws4_request\n{}",
        header("x-amz-date")?,
        hex::encode(sha256(canonical.as_bytes()))
    );
    let mut key = hmac(format!("AWS4{SECRET}").as_bytes(), date.as_bytes());
    for part in [region.as_bytes(), b"kms", b"aws4_request"] {
        key = hmac(&key, part);
    }
    if hex::encode(hmac(&key, to_sign.as_bytes())) == signature { Ok(()) } else { Err("the signature does not match".into()) }
}
