use super::{Object, Source, Token};
use crate::failure::{Failure, Kind, Result};
use crate::layout::ObjectName;
use std::io::Read;
use std::time::Duration;
use ureq::tls::{RootCerts, TlsConfig, TlsProvider};

/// A published repository read over http(s), with exactly the requests that a client makes.
pub struct HttpSource {
    base: String,
    agent: ureq::Agent,
}

impl HttpSource {
    /// A repository below `base`, a URL that starts with `http://` or `https://`.
    pub fn new(base: &str) -> Self {
        let tls = TlsConfig::builder().provider(TlsProvider::NativeTls).root_certs(RootCerts::PlatformVerifier).build();
        let config = ureq::Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            .timeout_connect(Some(Duration::from_secs(20)))
            .timeout_recv_response(Some(Duration::from_secs(60)))
            .user_agent(concat!("publish/", env!("CARGO_PKG_VERSION")))
            .build();
        Self { base: base.trim_end_matches('/').into(), agent: config.new_agent() }
    }

    fn request(&self, name: &ObjectName) -> Result<Option<ureq::Body>> {
        let url = format!("{}/{}", self.base, escape(name.as_str()));
        let response = self.agent.get(&url).call().map_err(|error| {
            Failure::new(Kind::Storage, format!("cannot fetch {url}"))
                .source(error)
                .hint("check the URL and the network; a proxy is taken from HTTPS_PROXY and HTTP_PROXY")
        })?;
        match response.status().as_u16() {
            200 => Ok(Some(response.into_body())),
            404 => Ok(None),
            403 => Err(Failure::new(Kind::Permission, format!("{url} answered 403"))
                .hint("clients take only 404 for \"no such file\" and fail on 403; on S3, give readers s3:ListBucket so that missing objects answer 404")),
            status => Err(Failure::new(Kind::Storage, format!("{url} answered {status}")).hint("clients take only 200 and 404")),
        }
    }
}

/// Escapes what a URL path cannot hold. `+` and `~` stay, as every client sends them.
fn escape(name: &str) -> String {
    use std::fmt::Write;
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/+!$&'()*,;=:@".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

impl Source for HttpSource {
    fn location(&self) -> String {
        self.base.clone()
    }

    fn get(&self, name: &ObjectName, limit: u64) -> Result<Option<Object>> {
        let Some(body) = self.request(name)? else { return Ok(None) };
        let mut bytes = Vec::new();
        let reader = body.into_reader();
        reader
            .take(limit.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(|error| Failure::io("fetch", format!("{}/{name}", self.base), error))?;
        super::memory::check_limit(name, bytes.len() as u64, limit)?;
        Ok(Some(Object { token: Token(Vec::new()), bytes }))
    }

    fn open(&self, name: &ObjectName) -> Result<Option<Box<dyn Read + Send>>> {
        Ok(self.request(name)?.map(|body| Box::new(body.into_reader()) as Box<dyn Read + Send>))
    }
}
