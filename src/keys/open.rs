#[cfg(feature = "awskms")]
use super::aws_kms::KmsKey;
use super::device::{DeviceKey, DeviceSigner};
use super::file::read_open;
use super::gpg::AgentKey;
#[cfg(feature = "pkcs11")]
use super::pkcs11::TokenKey;
use super::software::Material;
#[cfg(feature = "vault")]
use super::vault::TransitKey;
use super::{KeyUri, Passphrases, RoleSigner, Secret, encoding, form, read_private};
use crate::error::{Error, Id, Kind, Result};
use crate::metadata::{PublicKey, Signature};
use crate::openpgp::DigestSigner;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zeroize::Zeroizing;

/// Opens the signer of the key at `uri`.
pub fn load(uri: &KeyUri, passphrases: &dyn Passphrases) -> Result<Arc<dyn RoleSigner>> {
    if let Some(device) = device(uri, passphrases)? {
        return Ok(device);
    }
    let what = uri.origin();
    form::read(&read_secret(uri)?, &what, passphrases)?.into_signer(&what)
}

/// Opens a key that signs OpenPGP digests where it is stored; `None` for keys in files.
pub fn load_for_openpgp(uri: &KeyUri, passphrases: &dyn Passphrases) -> Result<Option<Arc<dyn DigestSigner>>> {
    Ok(device(uri, passphrases)?.map(|device| device as Arc<dyn DigestSigner>))
}

#[cfg_attr(not(feature = "pkcs11"), allow(unused_variables, reason = "only tokens ask for a PIN"))]
fn device(uri: &KeyUri, passphrases: &dyn Passphrases) -> Result<Option<Arc<dyn DeviceKey>>> {
    Ok(Some(match uri {
        KeyUri::File(_) | KeyUri::Env(_) => return Ok(None),
        KeyUri::Gpg(fingerprint) => Arc::new(DeviceSigner(AgentKey::open(fingerprint)?)),
        #[cfg(feature = "vault")]
        KeyUri::Vault(uri) => Arc::new(DeviceSigner(TransitKey::open(uri)?)),
        #[cfg(feature = "awskms")]
        KeyUri::AwsKms(key) => Arc::new(DeviceSigner(KmsKey::open(key)?)),
        #[cfg(feature = "pkcs11")]
        KeyUri::Pkcs11(uri) => Arc::new(DeviceSigner(TokenKey::open(uri, passphrases)?)),
    }))
}

/// The OpenPGP certificate that belongs to a key without being kept here: gpg has those of its keys.
pub fn openpgp_certificate(uri: &KeyUri) -> Result<Option<Vec<u8>>> {
    match uri {
        KeyUri::Gpg(fingerprint) => AgentKey::open(fingerprint).map(|key| Some(key.certificate().to_vec())),
        _ => Ok(None),
    }
}

/// The content of a key file, or of the variable that contains one.
pub fn read_secret(uri: &KeyUri) -> Result<Zeroizing<Vec<u8>>> {
    match uri {
        KeyUri::File(path) => {
            let content = read_private(path)?;
            if content.trim_ascii().is_empty() {
                return Err(Error::invalid(format!("the key file {} is empty", path.display())).hint("restore it from the backup"));
            }
            encoding::plain(&content, &uri.origin())
        }
        KeyUri::Env(name) => {
            let missing = || {
                Error::new(Kind::NotFound, format!("the variable {name} is not set"))
                    .id(Id::KeyVariableUnset)
                    .hint("pass the secret to this command; the variable contains the key in any form that a key file can have")
            };
            let text = std::env::var_os(name).map(|text| Zeroizing::new(text.into_encoded_bytes())).ok_or_else(missing)?;
            if text.trim_ascii().is_empty() {
                return Err(Error::invalid(format!("the variable {name} is empty")).id(Id::KeyVariableUnset).hint(
                    "CI systems pass an empty variable for a secret that is not defined, or that this branch or pull request cannot use",
                ));
            }
            encoding::plain(&text, &uri.origin())
        }
        _ => Err(Error::invalid(format!("the secret key of {uri} cannot be read"))),
    }
}

/// A key from another tool's file, to be stored in a key file of this publisher.
#[derive(Clone)]
pub struct FoundKey {
    material: Material,
    /// The file.
    pub path: PathBuf,
}

impl FoundKey {
    /// A signer with it.
    pub fn signer(&self) -> Result<Arc<dyn RoleSigner>> {
        self.material.clone().into_signer(&self.path.display().to_string())
    }

    /// Keeps it in a new key file of its own.
    pub fn save(&self, path: &Path, passphrase: Option<&Secret>) -> Result<()> {
        super::file::save(path, &self.material, passphrase)
    }
}

/// All keys in a file of whichever form.
pub fn found_in(path: &Path, passphrases: &dyn Passphrases) -> Result<Vec<FoundKey>> {
    found_in_bytes(&read_private(path)?, path, passphrases)
}

/// The same for a file that is open; the path is for messages.
pub fn found_in_open(file: &File, path: &Path, passphrases: &dyn Passphrases) -> Result<Vec<FoundKey>> {
    found_in_bytes(&read_open(file, path)?, path, passphrases)
}

fn found_in_bytes(bytes: &[u8], path: &Path, passphrases: &dyn Passphrases) -> Result<Vec<FoundKey>> {
    let found = form::read_all(bytes, &path.display().to_string(), passphrases)?;
    Ok(found.into_iter().map(|material| FoundKey { material, path: path.to_owned() }).collect())
}

/// Opens all of these at once: those that opened, and why others did not.
pub fn load_all(uris: &[KeyUri], passphrases: &dyn Passphrases) -> (Vec<Arc<dyn RoleSigner>>, Vec<Error>) {
    let mut opened = Vec::new();
    let mut failures = Vec::new();
    for result in at_once(uris, |uri| load(uri, passphrases)) {
        match result {
            Ok(signer) => opened.push(signer),
            Err(failure) => failures.push(failure),
        }
    }
    (opened, failures)
}

/// Signs `message` with every signer whose key is among `keys` (key id and key), all at once, and returns the key ids. A signer
/// that fails is missed only if fewer than `threshold` are left.
pub fn sign_all<'k>(
    message: &[u8],
    signers: &[Arc<dyn RoleSigner>],
    keys: impl Iterator<Item = (&'k str, &'k PublicKey)>,
    threshold: u64,
) -> Result<Vec<Signature>> {
    let fits = |key: &PublicKey| signers.iter().find(|signer| signer.public().same_material(key));
    let wanted: Vec<_> = keys.filter_map(|(id, key)| Some((id, fits(key)?))).collect();
    let sign = |(id, signer): &(&str, &Arc<dyn RoleSigner>)| -> Result<Signature> {
        let signature = signer.sign(message)?;
        Ok(Signature { keyid: (*id).into(), sig: hex::encode(signature) })
    };
    let (mut signatures, mut failures) = (Vec::new(), Vec::new());
    for result in at_once(&wanted, sign) {
        match result {
            Ok(signature) => signatures.push(signature),
            Err(failure) => failures.push(failure),
        }
    }
    match failures.pop() {
        Some(failure) if (signatures.len() as u64) < threshold => Err(failures.into_iter().fold(failure, Error::and)),
        _ => Ok(signatures),
    }
}

/// Does the same with each, on a thread each if there are several.
fn at_once<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> Result<R> + Sync) -> Vec<Result<R>> {
    if items.len() < 2 {
        return items.iter().map(work).collect();
    }
    std::thread::scope(|scope| {
        let threads: Vec<_> = items.iter().map(|item| scope.spawn(|| work(item))).collect();
        let panicked = |_| Err(Error::new(Kind::Unexpected, "a signing thread panicked"));
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(panicked)).collect()
    })
}
