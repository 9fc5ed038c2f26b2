use super::{Object, Source, Token};
use crate::failure::{Failure, Kind, Result};
use crate::layout::ObjectName;
use crate::transport;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use reqwest::blocking::{Client, Response};
use std::io::Read;
use std::time::Duration;

/// A published repository read over http(s), with exactly the requests that a client makes.
pub struct HttpSource {
    base: String,
    client: Client,
}

impl HttpSource {
    /// A repository below `base`, a URL that starts with `http://` or `https://`.
    pub fn new(base: &str) -> Result<Self> {
        check_credentials(base)?;
        let client = Client::builder()
            .connect_timeout(Duration::from_secs(20))
            // A large file may take as long as it takes, as long as something arrives.
            .timeout(None)
            .user_agent(concat!("publish/", env!("CARGO_PKG_VERSION")))
            .build();
        let client = client.map_err(|error| Failure::new(Kind::Unexpected, "cannot set up https").source(error))?;
        Ok(Self { base: base.trim_end_matches('/').into(), client })
    }

    /// What a client gets for a name: the status and the start of the body.
    pub fn look(&self, name: &ObjectName) -> Result<(u16, Vec<u8>)> {
        let url = self.url(name);
        let failed = |error: reqwest::Error| Failure::new(Kind::Storage, format!("cannot fetch {url}")).source(error);
        let response = self.client.get(&url).send().map_err(failed)?;
        let status = response.status().as_u16();
        let mut body = Vec::new();
        response.take(4096).read_to_end(&mut body).map_err(|error| Failure::io("fetch", &url, error))?;
        Ok((status, body))
    }

    fn url(&self, name: &ObjectName) -> String {
        format!("{}/{}", self.base, escape(name.as_str()))
    }

    fn request(&self, name: &ObjectName) -> Result<Option<Response>> {
        let url = self.url(name);
        let response = self.client.get(&url).send().map_err(|error| {
            Failure::new(Kind::Storage, format!("cannot fetch {url}"))
                .source(error)
                .hint("check the URL and the network; a proxy is taken from HTTPS_PROXY and HTTP_PROXY")
        })?;
        match response.status().as_u16() {
            200 => Ok(Some(response)),
            404 => Ok(None),
            403 => Err(Failure::new(Kind::Permission, format!("{url} answered 403"))
                .hint("clients take only 404 for \"no such file\" and fail on 403; on S3, grant clients s3:ListBucket so that missing objects return 404")),
            status => Err(Failure::new(Kind::Storage, format!("{url} answered {status}")).hint("clients take only 200 and 404")),
        }
    }
}

/// Reading takes no credentials and may be plain; a URL that holds some may not.
fn check_credentials(base: &str) -> Result<()> {
    match reqwest::Url::parse(base) {
        Ok(url) if url.username().is_empty() && url.password().is_none() => Ok(()),
        Ok(url) if url.scheme() == "https" || url.host_str().is_some_and(transport::permits_plain) => Ok(()),
        Ok(url) => Err(transport::refused("the URL with a user name or password", url.host_str().unwrap_or_default(), "https://")),
        Err(error) => Err(Failure::invalid(format!("`{}` is no URL: {error}", base.escape_debug()))),
    }
}

/// What a URL path cannot hold (RFC 3986, `pchar`), so that `+` and `~` stay, as every client sends them.
const NOT_IN_PATHS: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// Escapes what a URL path cannot hold.
pub(crate) fn escape(name: &str) -> String {
    utf8_percent_encode(name, NOT_IN_PATHS).to_string()
}

impl Source for HttpSource {
    fn location(&self) -> String {
        self.base.clone()
    }

    fn get(&self, name: &ObjectName, limit: u64) -> Result<Option<Object>> {
        let Some(response) = self.request(name)? else { return Ok(None) };
        let mut bytes = Vec::new();
        response
            .take(limit.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(|error| Failure::io("fetch", format!("{}/{name}", self.base), error))?;
        super::memory::check_limit(name, bytes.len() as u64, limit)?;
        Ok(Some(Object { token: Token(Vec::new()), bytes }))
    }

    fn open(&self, name: &ObjectName) -> Result<Option<Box<dyn Read + Send>>> {
        Ok(self.request(name)?.map(|response| Box::new(response) as Box<dyn Read + Send>))
    }
}
