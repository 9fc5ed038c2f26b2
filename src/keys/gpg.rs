//! Keys that gpg-agent holds, on a smart card perhaps, asked through GnuPG's own programs: `gpg` for the certificate and
//! `gpg-connect-agent` for signatures. The agent signs digests only: any OpenPGP key signs artifacts that way, but of TUF's
//! key types only P-256 signs a digest.

use super::device::{Device, Operation};
use crate::error::{Error, Kind, Result};
use crate::metadata::PublicKey;
use crate::openpgp::{KeyMaterial, material_of};
use openssl::bn::BigNum;
use openssl::ecdsa::EcdsaSig;
use openssl::pkey::PKey;
use openssl::rsa::Rsa;
use sequoia_openpgp::types::HashAlgorithm;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use zeroize::Zeroizing;

/// A key of the agent.
pub(super) struct AgentKey {
    keygrip: String,
    public: PublicKey,
    origin: String,
    /// The certificate as gpg exports it.
    certificate: Vec<u8>,
    on_card: bool,
}

/// A secret key as `gpg --with-colons` lists it.
#[derive(Default)]
struct Listed {
    fingerprint: String,
    keygrip: String,
    created: u64,
    usable: bool,
    on_card: bool,
}

/// A card does one thing at a time, and some of the daemons before them fail instead of waiting.
static CARD: Mutex<()> = Mutex::new(());

impl AgentKey {
    /// The key of this fingerprint, or of a certificate of this fingerprint the newest that may sign.
    pub(super) fn open(fingerprint: &str) -> Result<Self> {
        let origin = format!("gpg:{fingerprint}");
        let listing = gpg(&["--with-colons", "--with-keygrip", "--list-secret-keys", fingerprint]).map_err(|why| {
            Error::new(Kind::NotFound, format!("{origin}: gpg has no such secret key"))
                .detail(why)
                .hint("`gpg --list-secret-keys` shows the keys it has; GNUPGHOME selects its directory")
        })?;
        let keys = listed(&String::from_utf8_lossy(&listing));
        let exact = keys.iter().skip(1).find(|key| key.fingerprint == fingerprint);
        let newest = || keys.iter().filter(|key| key.usable).max_by_key(|key| key.created);
        let key = exact.or_else(newest).ok_or_else(|| Error::invalid(format!("{origin} has no key that may sign")))?;
        let certificate = gpg(&["--export", fingerprint])
            .map_err(|why| Error::new(Kind::Unexpected, format!("{origin}: gpg exports no certificate")).detail(why))?;
        let material = material_of(&certificate, &key.fingerprint, &origin)?;
        Ok(Self { keygrip: key.keygrip.clone(), public: public_key(&material, &origin)?, origin, certificate, on_card: key.on_card })
    }

    /// The certificate of the key.
    pub(super) fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    fn sign(&self, hash: &str, digest: &[u8]) -> Result<Vec<u8>> {
        let commands = format!("SIGKEY {}\nSETHASH --hash={hash} {}\nPKSIGN\n/bye\n", self.keygrip, hex::encode(digest));
        let _turn = self.on_card.then(|| CARD.lock().unwrap_or_else(PoisonError::into_inner));
        let failed = |why: String| self.failed(Kind::Storage, "gpg-agent did not sign").detail(why);
        let mut child = Command::new("gpg-connect-agent")
            .args(["--hex"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| failed(error.to_string()).hint("gpg-connect-agent comes with GnuPG"))?;
        if let Some(mut input) = child.stdin.take() {
            input.write_all(commands.as_bytes()).map_err(|error| failed(error.to_string()))?;
        }
        let output = child.wait_with_output().map_err(|error| failed(error.to_string()))?;
        let said = Zeroizing::new(String::from_utf8_lossy(&output.stdout).into_owned());
        if let Some(error) = said.lines().find(|line| line.starts_with("ERR ")) {
            return Err(self.refused(error));
        }
        Ok(answer_of(&said))
    }

    /// What an error of the agent means: its low 16 bits are the code, for whatever part of GnuPG it comes from.
    fn refused(&self, error: &str) -> Error {
        let code = error.split(' ').nth(1).and_then(|code| code.parse::<u32>().ok()).map_or(0, |code| code & 0xffff);
        let failure = match code {
            11 | 87 => self
                .failed(Kind::Passphrase, "the passphrase or PIN is wrong")
                .hint("run it again and give the right one to pinentry; a card locks itself after three wrong ones: gpg --card-status shows how many are left"),
            99 => self.failed(Kind::Passphrase, "the passphrase or PIN was not given").hint("run the same command again"),
            112 => self.failed(Kind::NotFound, "the card with this key is not plugged in").hint("plug it in, then run the same command again"),
            _ => self.failed(Kind::Storage, "gpg-agent did not sign").hint(
                "a passphrase or PIN is asked for by pinentry: on a machine without a terminal, unlock the key before (gpg-preset-passphrase)",
            ),
        };
        failure.detail(error.to_owned())
    }

    fn failed(&self, kind: Kind, what: &str) -> Error {
        Error::new(kind, format!("{}: {what}", self.origin))
    }
}

impl Device for AgentKey {
    fn public(&self) -> &PublicKey {
        &self.public
    }

    fn perform(&self, operation: Operation<'_>) -> Result<Vec<u8>> {
        let broken = || Error::new(Kind::Untrusted, format!("{}: the answer of gpg-agent is not a signature", self.origin));
        match operation {
            // What OpenPGP signs with Ed25519 is a digest, as long as one.
            Operation::Ed25519(digest) => {
                let hash = match digest.len() {
                    32 => "sha256",
                    48 => "sha384",
                    64 => "sha512",
                    _ => return Err(digests_only(&self.origin)),
                };
                let answer = self.sign(hash, digest)?;
                let (r, s) = (number(&answer, "r", 32).ok_or_else(broken)?, number(&answer, "s", 32).ok_or_else(broken)?);
                Ok([r, s].concat())
            }
            Operation::Ecdsa(digest) => {
                let answer = self.sign("sha256", digest)?;
                let (r, s) = (number(&answer, "r", 32).ok_or_else(broken)?, number(&answer, "s", 32).ok_or_else(broken)?);
                let der = || EcdsaSig::from_private_components(BigNum::from_slice(&r)?, BigNum::from_slice(&s)?)?.to_der();
                der().map_err(|error| broken().source(error))
            }
            Operation::Pkcs1(hash, digest) => {
                let name = match hash {
                    HashAlgorithm::SHA256 => "sha256",
                    HashAlgorithm::SHA384 => "sha384",
                    HashAlgorithm::SHA512 => "sha512",
                    other => return Err(Error::invalid(format!("gpg-agent cannot make {other} signatures here"))),
                };
                number(&self.sign(name, digest)?, "s", 0).ok_or_else(broken)
            }
            Operation::Pss(_) => Err(digests_only(&self.origin)),
        }
    }

    fn origin(&self) -> &str {
        &self.origin
    }
}

fn digests_only(origin: &str) -> Error {
    Error::invalid(format!("{origin}: gpg-agent signs digests only, and a TUF role cannot be signed in this way with this kind of key"))
        .hint("for roles use a P-256 key of it (gpg --quick-generate-key NAME nistp256), or a key elsewhere; OpenPGP signatures work with every kind")
}

/// The bytes of the dump: `D[0000]  28 37 3A …   (7:sig-val`, sixteen a line, with `%`, CR and LF written as `%25`, `%0D`
/// and `%0A`, as they travel.
fn answer_of(dump: &str) -> Vec<u8> {
    let lines = dump.lines().filter(|line| line.starts_with("D[")).filter_map(|line| line.get(9..58));
    let mut bytes =
        lines.flat_map(|line| line.split_whitespace().filter_map(|digits| u8::from_str_radix(digits, 16).ok()).collect::<Vec<_>>());
    let mut answer = Vec::new();
    while let Some(byte) = bytes.next() {
        let escaped = |digits: [Option<u8>; 2]| {
            let digits = [digits[0]?, digits[1]?];
            u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()
        };
        answer.push(if byte == b'%' { escaped([bytes.next(), bytes.next()]).unwrap_or(byte) } else { byte });
    }
    answer
}

/// A number of the answer, `(1:r32:…)`, padded at the front to so many bytes.
fn number(answer: &[u8], name: &str, length: usize) -> Option<Vec<u8>> {
    let mark = format!("(1:{name}");
    let start = answer.windows(mark.len()).position(|window| window == mark.as_bytes())? + mark.len();
    let digits = answer[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let count: usize = std::str::from_utf8(&answer[start..start + digits]).ok()?.parse().ok()?;
    let value = answer.get(start + digits + 1..start + digits + 1 + count)?;
    // A sign byte may precede it, or leading zeros be left out.
    let value = if length > 0 && value.len() > length { &value[value.len() - length..] } else { value };
    let mut padded = vec![0; length.saturating_sub(value.len())];
    padded.extend_from_slice(value);
    Some(padded)
}

fn public_key(material: &KeyMaterial, origin: &str) -> Result<PublicKey> {
    let unusable = || Error::invalid(format!("{origin} is a key of a kind that is not supported"));
    let pem = |key: std::result::Result<Vec<u8>, openssl::error::ErrorStack>| {
        key.map(|pem| String::from_utf8_lossy(&pem).into_owned()).map_err(|error| unusable().source(error))
    };
    match material {
        KeyMaterial::Ed25519(public) => PublicKey::ed25519(public),
        KeyMaterial::P256(point) => PublicKey::p256(&pem(super::device::p256_pem(point))?),
        KeyMaterial::Rsa { n, e } => {
            let key = || PKey::from_rsa(Rsa::from_public_components(BigNum::from_slice(n)?, BigNum::from_slice(e)?)?)?.public_key_to_pem();
            PublicKey::rsa(&pem(key())?)
        }
    }
}

fn listed(listing: &str) -> Vec<Listed> {
    let mut keys: Vec<Listed> = Vec::new();
    for line in listing.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        let field = |at: usize| fields.get(at).copied().unwrap_or_default();
        match field(0) {
            "sec" | "ssb" => {
                let valid = !matches!(field(1), "r" | "e" | "d" | "i");
                // `#` in field 15: the secret is not there. Small letters are this key's own capabilities.
                let usable = valid && field(11).contains('s') && field(14) != "#";
                // `+`: it is. Otherwise the serial number of a card is there.
                let on_card = !matches!(field(14), "" | "+" | "#");
                keys.push(Listed { created: field(5).parse().unwrap_or(0), usable, on_card, ..Listed::default() });
            }
            "fpr" => {
                if let Some(key) = keys.last_mut().filter(|key| key.fingerprint.is_empty()) {
                    key.fingerprint = field(9).to_owned();
                }
            }
            "grp" => {
                if let Some(key) = keys.last_mut() {
                    key.keygrip = field(9).to_owned();
                }
            }
            _ => {}
        }
    }
    keys
}

/// What gpg prints, or why it failed.
fn gpg(arguments: &[&str]) -> std::result::Result<Vec<u8>, String> {
    let output = Command::new("gpg")
        .args(["--batch", "--no-tty"])
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("gpg: {error}"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    if output.status.success() && !output.stdout.is_empty() {
        Ok(output.stdout)
    } else {
        Err(errors.lines().last().unwrap_or("gpg printed nothing").to_owned())
    }
}
