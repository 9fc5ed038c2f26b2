//! Keys in hardware security modules and smart cards, named by PKCS#11 URIs (RFC 7512):
//! `pkcs11:token=acme;object=targets?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:/run/secrets/pin`.

use super::device::{Device, Operation, p256_pem};
use super::{Passphrases, Secret, Use, read_private};
use crate::error::{Error, Kind, Result};
use crate::metadata::PublicKey;
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error as TokenError, RvError};
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::mechanism::rsa::{PkcsMgfType, PkcsPssParams};
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use openssl::bn::BigNum;
use openssl::ecdsa::EcdsaSig;
use openssl::pkey::PKey;
use openssl::rsa::Rsa;
use sequoia_openpgp::types::HashAlgorithm;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Edwards 25519 as `CKA_EC_PARAMS` names it: by its object identifier, or by its name.
const EDWARDS: [&[u8]; 2] = [&[0x06, 0x03, 0x2b, 0x65, 0x70], b"\x13\x0cedwards25519"];
const P256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];

/// A PKCS#11 URI, parsed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pkcs11Uri {
    text: String,
    token: Option<String>,
    serial: Option<String>,
    object: Option<String>,
    id: Option<Vec<u8>>,
    module: Option<PathBuf>,
    pin_source: Option<PathBuf>,
}

impl Pkcs11Uri {
    /// Reads what follows `pkcs11:`; relative paths start from `base`.
    pub fn parse(text: &str, base: &Path) -> Result<Self> {
        let wrong = |why: &str| {
            Error::invalid(format!("a pkcs11: URI {why}"))
                .hint("write pkcs11:token=NAME;object=LABEL?module-path=/path/to/module.so&pin-source=file:/path/to/pin")
        };
        let mut uri = Self::default();
        let (path, query) = text.split_once('?').unwrap_or((text, ""));
        let file = |value: &str| base.join(value.strip_prefix("file://").or_else(|| value.strip_prefix("file:")).unwrap_or(value));
        let mut shown = Vec::new();
        for attribute in path.split(';').chain(query.split('&')).filter(|attribute| !attribute.is_empty()) {
            let (name, value) = attribute.split_once('=').ok_or_else(|| wrong("has an attribute without a value"))?;
            let bytes = decode(value).ok_or_else(|| wrong("has a wrong percent sign"))?;
            let value = String::from_utf8_lossy(&bytes).into_owned();
            match name {
                "token" => uri.token = Some(value),
                "serial" => uri.serial = Some(value),
                "object" => uri.object = Some(value),
                "id" => uri.id = Some(bytes),
                "type" if value == "private" => {}
                "module-path" => uri.module = Some(file(&value)),
                "pin-source" => uri.pin_source = Some(file(&value)),
                // A secret in a config or on a command line is none.
                "pin-value" => return Err(wrong("holds a PIN: put it into a file and name that with pin-source")),
                _ => return Err(wrong(&format!("has the attribute `{}`, which is not supported", name.escape_debug()))),
            }
            if !matches!(name, "module-path" | "pin-source") {
                shown.push(attribute);
            }
        }
        if uri.object.is_none() && uri.id.is_none() {
            return Err(wrong("names no key: give object= or id="));
        }
        if uri.module.is_none() {
            return Err(wrong("names no module: give module-path=, the library that came with the token"));
        }
        uri.text = format!("pkcs11:{}", shown.join(";"));
        Ok(uri)
    }

    /// The key without the module and the PIN's place.
    pub fn name(&self) -> &str {
        &self.text
    }

    /// The whole URI as it can be written in a config.
    pub fn to_text(&self) -> String {
        let file = |name: &str, path: &Option<PathBuf>| path.as_ref().map(|path| format!("{name}={}", path.display()));
        let query: Vec<String> = [file("module-path", &self.module), file("pin-source", &self.pin_source)].into_iter().flatten().collect();
        format!("{}?{}", self.text, query.join("&"))
    }
}

/// The bytes of a value; `None` if two hex digits do not follow each percent sign.
fn decode(text: &str) -> Option<Vec<u8>> {
    let escaped = |rest: &str| rest.len() >= 2 && rest.as_bytes()[..2].iter().all(u8::is_ascii_hexdigit);
    text.split('%').skip(1).all(escaped).then(|| percent_encoding::percent_decode_str(text).collect())
}

/// A key in a token, with a session that is logged in.
pub(super) struct TokenKey {
    session: Mutex<Session>,
    private: ObjectHandle,
    public: PublicKey,
    origin: String,
}

impl TokenKey {
    pub(super) fn open(uri: &Pkcs11Uri, passphrases: &dyn Passphrases) -> Result<Self> {
        let origin = uri.name().to_owned();
        let module = module(uri)?;
        let slot = slot(&module, uri)?;
        let session = module.open_ro_session(slot).map_err(|error| failed(&origin, "open a session", error))?;
        let pin = pin(uri, passphrases)?;
        let text = String::from_utf8_lossy(pin.expose()).into_owned();
        match session.login(UserType::User, Some(&AuthPin::new(text.into()))) {
            Ok(()) | Err(TokenError::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {}
            Err(error) => return Err(refused_pin(&module, slot, &origin, error)),
        }
        let find = |class: ObjectClass| -> Result<ObjectHandle> {
            let mut template = vec![Attribute::Class(class)];
            template.extend(uri.object.as_ref().map(|label| Attribute::Label(label.clone().into_bytes())));
            template.extend(uri.id.as_ref().map(|id| Attribute::Id(id.clone())));
            let found = session.find_objects(&template).map_err(|error| failed(&origin, "look for the key", error))?;
            match found.as_slice() {
                [one] => Ok(*one),
                [] => Err(Error::new(
                    Kind::NotFound,
                    format!(
                        "{origin}: the token has no {} key of that name",
                        if class == ObjectClass::PUBLIC_KEY { "public" } else { "private" }
                    ),
                )
                .hint("both halves must be in the token, under one label and id")),
                several => {
                    Err(Error::invalid(format!("{origin}: {} keys of the token have that name", several.len())).hint("give id= as well"))
                }
            }
        };
        let private = find(ObjectClass::PRIVATE_KEY)?;
        let public = public_key(&session, find(ObjectClass::PUBLIC_KEY)?, &origin)?;
        Ok(Self { session: Mutex::new(session), private, public, origin })
    }
}

impl Device for TokenKey {
    fn public(&self) -> &PublicKey {
        &self.public
    }

    fn perform(&self, operation: Operation<'_>) -> Result<Vec<u8>> {
        let session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let sign = |mechanism: &Mechanism<'_>, data: &[u8]| {
            session.sign(mechanism, self.private, data).map_err(|error| failed(&self.origin, "sign", error))
        };
        match operation {
            Operation::Ed25519(message) => sign(&Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Ed25519)), message),
            Operation::Ecdsa(digest) => {
                let pair = sign(&Mechanism::Ecdsa, digest)?;
                ecdsa_der(&pair).map_err(|error| {
                    Error::new(Kind::Untrusted, format!("{}: the answer is not an ECDSA signature", self.origin)).source(error)
                })
            }
            Operation::Pss(message) => {
                let parameters = PkcsPssParams { hash_alg: MechanismType::SHA256, mgf: PkcsMgfType::MGF1_SHA256, s_len: 32.into() };
                sign(&Mechanism::Sha256RsaPkcsPss(parameters), message)
            }
            Operation::Pkcs1(hash, digest) => {
                let mut data = digest_info(hash)?.to_vec();
                data.extend_from_slice(digest);
                sign(&Mechanism::RsaPkcs, &data)
            }
        }
    }

    fn origin(&self) -> &str {
        &self.origin
    }
}

/// What precedes a digest inside a PKCS#1 v1.5 signature.
fn digest_info(hash: HashAlgorithm) -> Result<&'static [u8]> {
    hash.oid().map_err(|error| Error::new(Kind::Unexpected, format!("cannot sign {hash} digests: {error}")))
}

/// The module, loaded and initialised once a process: the standard allows it no more often.
fn module(uri: &Pkcs11Uri) -> Result<Pkcs11> {
    static LOADED: Mutex<Option<HashMap<PathBuf, Pkcs11>>> = Mutex::new(None);
    let path = uri.module.clone().unwrap_or_default();
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    let loaded = loaded.get_or_insert_default();
    if let Some(module) = loaded.get(&path) {
        return Ok(module.clone());
    }
    let unusable = |error: TokenError| {
        Error::invalid(format!("the PKCS#11 module {} cannot be used", path.display()))
            .source(error)
            .hint("module-path= names the library that came with the token, such as /usr/lib/softhsm/libsofthsm2.so")
    };
    let module = Pkcs11::new(&path).map_err(unusable)?;
    match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Ok(()) | Err(TokenError::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
        Err(error) => return Err(unusable(error)),
    }
    loaded.insert(path, module.clone());
    Ok(module)
}

fn slot(module: &Pkcs11, uri: &Pkcs11Uri) -> Result<Slot> {
    let origin = uri.name();
    let slots = module.get_slots_with_token().map_err(|error| failed(origin, "list the tokens", error))?;
    let mut seen = Vec::new();
    for slot in slots {
        let Ok(token) = module.get_token_info(slot) else { continue };
        let (label, serial) = (token.label().trim(), token.serial_number().trim());
        let fits = uri.token.as_ref().is_none_or(|wanted| wanted == label) && uri.serial.as_ref().is_none_or(|wanted| wanted == serial);
        if fits && token.token_initialized() {
            return Ok(slot);
        }
        seen.push(format!("there is: token={label};serial={serial}"));
    }
    Err(Error::new(Kind::NotFound, format!("{origin}: no such token is plugged in"))
        .details(seen)
        .hint("plug it in, or check token= and serial="))
}

/// The PIN, from the URI's file or as passphrases come.
fn pin(uri: &Pkcs11Uri, passphrases: &dyn Passphrases) -> Result<Secret> {
    let Some(path) = &uri.pin_source else { return passphrases.get(Use::Roles, uri.name()) };
    let file = read_private(path)?;
    let line = file.split(|byte| *byte == b'\n').next().unwrap_or_default();
    Ok(Secret::new(line.strip_suffix(b"\r").unwrap_or(line)))
}

/// A PIN that was refused, and how many tries are left as far as the token reports.
fn refused_pin(module: &Pkcs11, slot: Slot, origin: &str, error: TokenError) -> Error {
    if !matches!(error, TokenError::Pkcs11(RvError::PinIncorrect | RvError::PinLocked | RvError::PinInvalid | RvError::PinLenRange, _)) {
        return failed(origin, "log in", error);
    }
    let token = module.get_token_info(slot).ok();
    let left = match token {
        Some(token) if token.user_pin_locked() => "the token is locked now: its security officer can unlock it",
        Some(token) if token.user_pin_final_try() => "one attempt is left before the token locks itself",
        Some(token) if token.user_pin_count_low() => "few attempts are left before the token locks itself",
        _ if matches!(error, TokenError::Pkcs11(RvError::PinLocked, _)) => "the token is locked now: its security officer can unlock it",
        _ => "the token does not report how many attempts are left",
    };
    Error::new(Kind::Passphrase, format!("{origin}: the PIN is wrong"))
        .detail(left)
        .hint("give the right one with pin-source=, --passphrase-file, --passphrase-command or PUBLISH_PASSPHRASE")
}

fn failed(origin: &str, doing: &str, error: TokenError) -> Error {
    let gone = matches!(
        error,
        TokenError::Pkcs11(
            RvError::TokenNotPresent
                | RvError::DeviceRemoved
                | RvError::SessionHandleInvalid
                | RvError::SlotIdInvalid
                | RvError::DeviceError,
            _
        )
    );
    if gone {
        return Error::new(Kind::Storage, format!("{origin}: the token was removed, or failed"))
            .source(error)
            .hint("plug it in again and run the same command again");
    }
    Error::new(Kind::Storage, format!("{origin}: cannot {doing}")).source(error)
}

fn public_key(session: &Session, object: ObjectHandle, origin: &str) -> Result<PublicKey> {
    let wanted =
        [AttributeType::KeyType, AttributeType::EcParams, AttributeType::EcPoint, AttributeType::Modulus, AttributeType::PublicExponent];
    let attributes = session.get_attributes(object, &wanted).map_err(|error| failed(origin, "read the public key", error))?;
    let (mut kind, mut parameters, mut point, mut modulus, mut exponent) = (None, Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for attribute in attributes {
        match attribute {
            Attribute::KeyType(found) => kind = Some(found),
            Attribute::EcParams(found) => parameters = found,
            Attribute::EcPoint(found) => point = found,
            Attribute::Modulus(found) => modulus = found,
            Attribute::PublicExponent(found) => exponent = found,
            _ => {}
        }
    }
    let unusable = || {
        Error::invalid(format!("{origin} is not a key of a kind that TUF clients verify"))
            .hint("Ed25519, P-256 and RSA from 2048 bits can sign roles")
    };
    // Most modules wrap the point in an OCTET STRING, some do not.
    let bare = match point.as_slice() {
        [4, length, rest @ ..] if usize::from(*length) == rest.len() => rest.to_vec(),
        _ => point,
    };
    let pem = || -> std::result::Result<Vec<u8>, openssl::error::ErrorStack> {
        if kind == Some(KeyType::RSA) {
            let key = Rsa::from_public_components(BigNum::from_slice(&modulus)?, BigNum::from_slice(&exponent)?)?;
            return PKey::from_rsa(key)?.public_key_to_pem();
        }
        p256_pem(&bare)
    };
    let public = match kind {
        Some(KeyType::EC_EDWARDS) if EDWARDS.contains(&parameters.as_slice()) => {
            PublicKey::ed25519(&bare.as_slice().try_into().map_err(|_| unusable())?)?
        }
        Some(KeyType::EC) if parameters == P256 => {
            PublicKey::p256(&String::from_utf8_lossy(&pem().map_err(|error| unusable().source(error))?))?
        }
        Some(KeyType::RSA) => {
            PublicKey::rsa(&String::from_utf8_lossy(&pem().map_err(|error| unusable().source(error))?)).map_err(|_| unusable())?
        }
        _ => return Err(unusable()),
    };
    Ok(public)
}

/// An ECDSA signature in DER from the two numbers side by side, as tokens give it.
fn ecdsa_der(pair: &[u8]) -> std::result::Result<Vec<u8>, openssl::error::ErrorStack> {
    let (r, s) = pair.split_at(pair.len() / 2);
    EcdsaSig::from_private_components(BigNum::from_slice(r)?, BigNum::from_slice(s)?)?.to_der()
}
