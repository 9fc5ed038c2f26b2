use crate::error::{Error, Result};
use crate::files::{GIVEN_FILE_LIMIT, read_given};
use crate::transport;
use lapin::tcp::{OwnedIdentity, OwnedTLSConfig};
use lapin::uri::{AMQPScheme, AMQPUri};
use std::path::PathBuf;
use zeroize::Zeroizing;

/// How to reach the broker. Plain connections are for this machine only.
#[derive(Clone)]
pub struct BrokerOptions {
    uri: AMQPUri,
    shown: String,
    /// The certificate authority of the broker, in PEM; the system's without one.
    pub ca: Option<PathBuf>,
    /// The certificate and the key that this client shows, in PEM.
    pub identity: Option<(PathBuf, PathBuf)>,
}

impl BrokerOptions {
    /// Reads `amqps://user@host:port/vhost`. It contains no password.
    pub fn parse(text: &str) -> Result<Self> {
        let shown = text.to_owned();
        if text.split_once("://").is_some_and(|(_, rest)| {
            rest.split(['/', '?']).next().is_some_and(|authority| authority.split_once('@').is_some_and(|(user, _)| user.contains(':')))
        }) {
            return Err(Error::invalid("the broker's URL contains a password")
                .hint("write amqps://user@host and put the password into `broker_password_file` or PUBLISH_BROKER_PASSWORD"));
        }
        let mut uri: AMQPUri = text.parse().map_err(|error| {
            Error::invalid(format!("the broker `{}` is not an AMQP URL: {error}", text.escape_debug()))
                .hint("write amqps://user@host:5671/vhost")
        })?;
        let host = uri.authority.host.clone();
        if uri.scheme == AMQPScheme::AMQP && !transport::permits_plain(&host) {
            return Err(transport::refused("the broker's URL", &host, "amqps://"));
        }
        // A broker that waits for ever is a hung worker.
        uri.query.heartbeat.get_or_insert(10);
        uri.query.connection_timeout.get_or_insert(10_000);
        Ok(Self { uri, shown, ca: None, identity: None })
    }

    /// The same with a password.
    #[must_use]
    pub fn with_password(mut self, password: &[u8]) -> Self {
        let text = String::from_utf8_lossy(password);
        self.uri.authority.userinfo.password = text.trim_end_matches(['\r', '\n']).to_owned();
        self
    }

    pub(super) fn uri(&self) -> AMQPUri {
        self.uri.clone()
    }

    pub(super) fn tls(&self) -> Result<OwnedTLSConfig> {
        let read = |path: &PathBuf| read_given(path, GIVEN_FILE_LIMIT).map_err(|error| Error::io("read", path.display(), error));
        let cert_chain = self.ca.as_ref().map(|path| read(path).map(|pem| String::from_utf8_lossy(&pem).into_owned())).transpose()?;
        let identity = match &self.identity {
            Some((cert, key)) => Some(OwnedIdentity::PKCS8 { pem: read(cert)?, key: Zeroizing::new(read(key)?).to_vec() }),
            None => None,
        };
        Ok(OwnedTLSConfig { identity, cert_chain })
    }
}

impl std::fmt::Display for BrokerOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.shown)
    }
}

impl std::fmt::Debug for BrokerOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BrokerOptions({})", self.shown)
    }
}
