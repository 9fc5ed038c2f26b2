//! Keys in the transit engine of Vault, and of OpenBao, which has the same interface.

use super::device::{Device, Operation};
use super::vault_server::VaultServer;
use crate::error::{Error, Kind, Result};
use crate::metadata::PublicKey;
use openssl::base64::{decode_block, encode_block};
use reqwest::Method;
use sequoia_openpgp::types::HashAlgorithm;
use serde_json::json;
use std::sync::Arc;

/// A vault: URI, parsed: `vault:NAME`, `vault:MOUNT/NAME`, either with `@VERSION`.
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
            Error::invalid(format!("`vault:{}` names no key", text.escape_debug()))
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
    server: Arc<VaultServer>,
    uri: VaultUri,
    version: u64,
    public: PublicKey,
    origin: String,
}

impl TransitKey {
    pub(super) fn open(uri: &VaultUri) -> Result<Self> {
        let origin = uri.to_string();
        let server = VaultServer::of_process(&origin)?;
        let answer = server.call(&origin, &Method::GET, &format!("{}/keys/{}", uri.mount, uri.name), None)?;
        let data = &answer["data"];
        let kind = data["type"].as_str().unwrap_or_default();
        let unusable = || {
            Error::invalid(format!("{origin} is a key of type `{}`", kind.escape_debug()))
                .hint("ed25519, ecdsa-p256 and rsa-2048 to rsa-4096 can sign roles")
        };
        if !matches!(kind, "ed25519" | "ecdsa-p256") && !kind.starts_with("rsa-") {
            return Err(unusable());
        }
        let version = uri.version.or_else(|| data["latest_version"].as_u64()).unwrap_or(1);
        let missing = || Error::new(Kind::NotFound, format!("{origin}: the key has no version {version}"));
        let text = data["keys"][version.to_string()]["public_key"].as_str().ok_or_else(missing)?;
        let public = match kind {
            "ed25519" => PublicKey::ed25519(&decode_block(text).ok().and_then(|bytes| bytes.try_into().ok()).ok_or_else(unusable)?)?,
            "ecdsa-p256" => PublicKey::p256(&format!("{}\n", text.trim_end()))?,
            _ => PublicKey::rsa(&format!("{}\n", text.trim_end()))?,
        };
        Ok(Self { server, uri: uri.clone(), version, public, origin })
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
        let answer = self.server.call(&self.origin, &Method::POST, &format!("{}/sign/{}", self.uri.mount, self.uri.name), Some(&body))?;
        let signature =
            answer["data"]["signature"].as_str().and_then(|text| text.rsplit(':').next()).and_then(|text| decode_block(text).ok());
        signature.ok_or_else(|| Error::new(Kind::Untrusted, format!("{}: the answer contains no signature", self.origin)))
    }

    fn origin(&self) -> &str {
        &self.origin
    }
}
