use super::Config;
use crate::broker::BrokerOptions;
use crate::error::{Error, Result};
use crate::files::{GIVEN_FILE_LIMIT, read_given};
use crate::keys::KeyUri;
use crate::metadata::PublicKey;
use crate::operation::workers::{Limits, Sender, Workers};
use crate::repository::PlainNames;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

impl Config {
    /// Who signs, if the config names a broker; `password` is that of the environment.
    pub fn workers(&self, password: Option<&[u8]>) -> Result<Option<Workers>> {
        let Some(url) = &self.broker else { return Ok(None) };
        let read = |path: &Path| read_given(path, GIVEN_FILE_LIMIT).map_err(|error| Error::io("read", path.display(), error));
        let mut broker = BrokerOptions::parse(url)?;
        broker.ca = self.broker_ca.as_deref().map(|path| self.path(path));
        broker.identity = match (&self.broker_certificate, &self.broker_key) {
            (Some(certificate), Some(key)) => Some((self.path(certificate), self.path(key))),
            (None, None) => None,
            _ => {
                return Err(Error::invalid("the config has only one of `broker_certificate` and `broker_key`")
                    .hint("a client certificate needs both"));
            }
        };
        let file = self.broker_password_file.as_deref().map(|path| crate::keys::read_private(&self.path(path))).transpose()?;
        if let Some(password) = password.or(file.as_ref().map(|bytes| bytes.as_slice())) {
            broker = broker.with_password(password);
        }
        let name = self.workers.name.clone();
        let name = name.ok_or_else(|| {
            Error::invalid("the config has a `broker` and no `workers.name`")
                .hint("set the name under which the other hosts know this process, for example `workers: {name: ci}`")
        })?;
        let mut senders = BTreeMap::new();
        for (name, sender) in &self.workers.senders {
            let key = sender_key(name, &sender.key)?;
            senders.insert(name.clone(), Sender { key, prefixes: sender.prefixes.clone(), may: sender.may.clone() });
        }
        let certificates = self.workers.certificates.iter().map(|path| Ok((path.display().to_string(), read(&self.path(path))?)));
        let limits = Limits {
            targets_per_request: self.workers.targets_per_request,
            growth: self.workers.growth,
            target_bytes: self.workers.target_bytes,
            elsewhere: self.plain_names == PlainNames::Elsewhere,
            certificates: certificates.collect::<Result<_>>()?,
        };
        let identity = KeyUri::parse(&self.workers.identity, &self.base)?;
        Ok(Some(Workers { broker, name, identity, senders, limits, patience: Duration::from_secs(self.workers.patience) }))
    }
}

/// A sender's public key: 32 bytes in hex.
fn sender_key(name: &str, text: &str) -> Result<PublicKey> {
    let bytes = hex::decode(text).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    let bytes = bytes.ok_or_else(|| {
        Error::invalid(format!("the key of sender `{}` below `workers.senders` is not 64 hex digits", name.escape_debug()))
            .hint("`publish key show FILE` prints it on the sender's machine")
    })?;
    PublicKey::ed25519(&bytes)
}
