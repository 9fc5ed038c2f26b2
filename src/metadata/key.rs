use super::canonical::write_canonical;
use crate::error::{Error, Result};
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Public};
use openssl::rsa::Padding;
use openssl::sha::sha256;
use openssl::sign::{RsaPssSaltlen, Verifier};
use serde_json::{Map, Value, json};

/// What old tools state in every key, and compute its id over.
const HASH_ALGORITHMS: [&str; 2] = ["sha256", "sha512"];

/// The key types that [`PublicKey`] verifies with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// RFC 8032; `public` is 32 bytes in hex.
    Ed25519,
    /// `ecdsa-sha2-nistp256`; `public` is PEM, signatures are DER over SHA-256.
    EcdsaP256,
    /// `rsassa-pss-sha256`; `public` is PEM.
    RsaPss,
}

/// A public key as it is in a root or a delegation, unknown fields and all.
#[derive(Clone, Debug)]
pub struct PublicKey {
    kind: KeyKind,
    keytype: String,
    json: Map<String, Value>,
    pkey: PKey<Public>,
}

impl PublicKey {
    /// An Ed25519 key from its 32 bytes.
    pub fn ed25519(public: &[u8; 32]) -> Result<Self> {
        Self::from_json(json!({"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": hex::encode(public)}}))
    }

    /// A P-256 key from its PEM, under the keytype that the trdl client accepts too.
    pub fn p256(pem: &str) -> Result<Self> {
        Self::from_json(json!({"keytype": "ecdsa-sha2-nistp256", "scheme": "ecdsa-sha2-nistp256", "keyval": {"public": pem}}))
    }

    /// An RSA key of at least 2048 bits from its PEM.
    pub fn rsa(pem: &str) -> Result<Self> {
        Self::from_json(json!({"keytype": "rsa", "scheme": "rsassa-pss-sha256", "keyval": {"public": pem}}))
    }

    /// Reads a key object of the metadata.
    pub fn from_json(value: Value) -> Result<Self> {
        let Value::Object(json) = value else { return Err(Error::invalid("a key is not a JSON object")) };
        let text = |field: &str| json.get(field).and_then(Value::as_str);
        let keytype = text("keytype").ok_or_else(|| Error::invalid("a key has no keytype"))?.to_owned();
        let public = json.get("keyval").and_then(|keyval| keyval.get("public")).and_then(Value::as_str);
        let public = public.ok_or_else(|| Error::invalid(format!("a key of type {keytype} has no keyval.public")))?;
        let scheme = text("scheme").unwrap_or("");
        let unreadable = |error: String| Error::invalid(format!("a key of type {keytype} cannot be read: {error}"));
        let from_pem = || PKey::public_key_from_pem(public.as_bytes()).map_err(|error| unreadable(error.to_string()));
        let (kind, pkey) = match (keytype.as_str(), scheme) {
            ("ed25519", _) => {
                let raw = hex::decode(public).map_err(|error| unreadable(error.to_string()))?;
                (
                    KeyKind::Ed25519,
                    PKey::public_key_from_raw_bytes(&raw, openssl::pkey::Id::ED25519).map_err(|error| unreadable(error.to_string()))?,
                )
            }
            ("ecdsa" | "ecdsa-sha2-nistp256", "" | "ecdsa-sha2-nistp256") => (KeyKind::EcdsaP256, from_pem()?),
            ("rsa", "" | "rsassa-pss-sha256") => (KeyKind::RsaPss, from_pem()?),
            _ => return Err(Error::invalid(format!("a key has the type `{keytype}` with scheme `{scheme}`, which we cannot verify"))),
        };
        let fits = match kind {
            KeyKind::Ed25519 => true,
            KeyKind::EcdsaP256 => pkey.ec_key().is_ok_and(|ec| ec.group().curve_name() == Some(openssl::nid::Nid::X9_62_PRIME256V1)),
            KeyKind::RsaPss => pkey.rsa().is_ok_and(|rsa| rsa.size() >= 256),
        };
        if !fits {
            return Err(unreadable("the key material is of another kind, or an RSA key is shorter than 2048 bits".into()));
        }
        Ok(Self { kind, keytype, json, pkey })
    }

    /// The key object as stored.
    pub fn to_json(&self) -> Value {
        Value::Object(self.json.clone())
    }

    /// Which algorithm it verifies.
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The `keytype` field; clients differ in which names they take for one algorithm.
    pub fn keytype(&self) -> &str {
        &self.keytype
    }

    /// The key id as python-tuf computes it: SHA-256 over the canonical key object of three fields.
    pub fn id(&self) -> String {
        self.id_over(json!({}))
    }

    /// The key id as securesystemslib once computed it, and Rugged still does: with a fourth field that need not be there.
    pub fn old_id(&self) -> String {
        self.id_over(json!({"keyid_hash_algorithms": HASH_ALGORITHMS}))
    }

    fn id_over(&self, mut object: Value) -> String {
        let public = self.json.get("keyval").and_then(|keyval| keyval.get("public")).cloned().unwrap_or_default();
        object["keytype"] = json!(self.keytype);
        object["scheme"] = json!(self.json.get("scheme"));
        object["keyval"] = json!({"public": public});
        let mut bytes = Vec::new();
        // Strings and objects: writing them cannot meet a number.
        let _ = write_canonical(&mut bytes, &object);
        hex::encode(sha256(&bytes))
    }

    /// SHA-256 of the public key itself (its SubjectPublicKeyInfo in DER), in hex: the same whatever id the key has.
    pub fn material(&self) -> String {
        hex::encode(sha256(&self.pkey.public_key_to_der().unwrap_or_default()))
    }

    /// Whether the id is computed from the key, in one of the two ways that clients know.
    pub fn fits_id(&self, id: &str) -> bool {
        id == self.id() || id == self.old_id()
    }

    /// The key in the form in which we write keys: the fields that clients read and no others, the public key in its usual
    /// encoding.
    pub fn normal(&self) -> Result<Self> {
        let broken = |error: openssl::error::ErrorStack| Error::invalid(format!("a key cannot be written: {error}"));
        let written = self.json.get("keyval").and_then(|keyval| keyval.get("public")).and_then(Value::as_str).unwrap_or_default();
        let (scheme, public) = match self.kind {
            KeyKind::Ed25519 => ("ed25519", hex::encode(self.pkey.raw_public_key().map_err(broken)?)),
            KeyKind::EcdsaP256 | KeyKind::RsaPss => {
                let pem = String::from_utf8_lossy(&self.pkey.public_key_to_pem().map_err(broken)?).into_owned();
                let scheme = if self.kind == KeyKind::RsaPss { "rsassa-pss-sha256" } else { "ecdsa-sha2-nistp256" };
                // Some tools write the last line break and some do not; the id depends on it.
                (scheme, if written.trim_end() == pem.trim_end() && written.len() <= pem.len() { written.to_owned() } else { pem })
            }
        };
        let mut json = json!({"keytype": self.keytype, "scheme": scheme, "keyval": {"public": public}});
        if let Some(algorithms) = self.json.get("keyid_hash_algorithms").filter(|there| **there == json!(HASH_ALGORITHMS)) {
            json["keyid_hash_algorithms"] = algorithms.clone();
        }
        Self::from_json(json)
    }

    /// Whether the two are one key, whatever ids and extra fields they have.
    pub fn same_material(&self, other: &Self) -> bool {
        self.kind == other.kind && self.pkey.public_eq(&other.pkey)
    }

    /// Whether `signature` is this key's over `message`.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let check = || -> std::result::Result<bool, openssl::error::ErrorStack> {
            match self.kind {
                KeyKind::Ed25519 => Verifier::new_without_digest(&self.pkey)?.verify_oneshot(signature, message),
                KeyKind::EcdsaP256 => Verifier::new(MessageDigest::sha256(), &self.pkey)?.verify_oneshot(signature, message),
                KeyKind::RsaPss => {
                    let mut verifier = Verifier::new(MessageDigest::sha256(), &self.pkey)?;
                    verifier.set_rsa_padding(Padding::PKCS1_PSS)?;
                    verifier.set_rsa_mgf1_md(MessageDigest::sha256())?;
                    // go-tuf signs with the longest salt, securesystemslib with the digest's length; the salt is found out.
                    verifier.set_rsa_pss_saltlen(RsaPssSaltlen::custom(-2))?;
                    verifier.verify_oneshot(signature, message)
                }
            }
        };
        check().unwrap_or(false)
    }
}
