use super::answer::Answer;
use super::{Object, Source, Token};
use crate::error::{Error, Id, Kind, Result};
use crate::names::ObjectName;
use crate::transport;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use reqwest::blocking::{Client, ClientBuilder, Response};
use reqwest::redirect::Policy;
use std::io::Read;
use std::time::Duration;

/// As many redirects as clients follow.
const REDIRECTS: usize = 10;

/// A published repository read over http(s), with exactly the requests that a client makes.
pub struct HttpSource {
    base: String,
    client: Client,
    /// The longest time for one answer with its body.
    patience: Option<Duration>,
}

impl HttpSource {
    /// A repository below `base`, a URL that starts with `http://` or `https://`.
    pub fn new(base: &str) -> Result<Self> {
        // A large file may take as long as it takes, as long as something arrives.
        Self::build(base, None, Client::builder())
    }

    /// The same for a check of the server: each answer must be complete within `patience`, and a redirect from https to http is
    /// not followed but reported as the answer that it is.
    pub fn within(base: &str, patience: Duration) -> Result<Self> {
        let policy = Policy::custom(|attempt| {
            let insecure = attempt.url().scheme() == "http" && attempt.previous().iter().any(|url| url.scheme() == "https");
            if insecure || attempt.previous().len() > REDIRECTS { attempt.stop() } else { attempt.follow() }
        });
        Self::build(base, Some(patience), Client::builder().redirect(policy))
    }

    fn build(base: &str, patience: Option<Duration>, builder: ClientBuilder) -> Result<Self> {
        check_credentials(base)?;
        let client = builder
            .connect_timeout(Duration::from_secs(20))
            .timeout(patience)
            .user_agent(concat!("publish/", env!("CARGO_PKG_VERSION")))
            .build();
        let client = client.map_err(|error| Error::new(Kind::Unexpected, "cannot set up https").source(error))?;
        Ok(Self { base: base.trim_end_matches('/').into(), client, patience })
    }

    /// Whether it is plain http to this machine.
    pub fn is_local(&self) -> bool {
        transport::is_local(&self.base)
    }

    /// What a client gets for a name: the status and the start of the body.
    pub fn look(&self, name: &ObjectName) -> Result<(u16, Vec<u8>)> {
        let answer = self.ask(&escape(name.as_str()), &[], 4096)?;
        Ok((answer.status, answer.body))
    }

    /// The answer for a path, which is escaped already, with the first `limit` bytes of its body; none are read for 0.
    pub fn ask(&self, path: &str, headers: &[(&str, &str)], limit: u64) -> Result<Answer> {
        let url = format!("{}/{path}", self.base);
        let mut request = self.client.get(&url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(patience) = self.patience {
            request = request.timeout(patience);
        }
        let response = request.send().map_err(|error| self.unanswered(&url, error.is_timeout()).source(error))?;
        Answer::read(response, limit).map_err(|error| self.unanswered(&url, is_timeout(&error)).source(error))
    }

    fn unanswered(&self, url: &str, timeout: bool) -> Error {
        match self.patience.filter(|_| timeout) {
            Some(patience) => Error::new(Kind::Storage, format!("{url} was not answered within {} seconds", patience.as_secs())),
            None => Error::new(Kind::Storage, format!("cannot fetch {url}")),
        }
    }

    fn url(&self, name: &ObjectName) -> String {
        format!("{}/{}", self.base, escape(name.as_str()))
    }

    fn request(&self, name: &ObjectName) -> Result<Option<Response>> {
        let url = self.url(name);
        let request = self.client.get(&url);
        let request = if let Some(patience) = self.patience { request.timeout(patience) } else { request };
        let response = request.send().map_err(|error| {
            self.unanswered(&url, error.is_timeout())
                .source(error)
                .hint("check the URL and the network; a proxy is taken from HTTPS_PROXY and HTTP_PROXY")
        })?;
        match response.status().as_u16() {
            200 => Ok(Some(response)),
            404 => Ok(None),
            403 => Err(Error::new(Kind::Permission, format!("{url} answered 403"))
                .id(Id::ForbiddenByWebServer)
                .hint("clients take only 404 for \"no such file\" and fail on 403; on S3, grant clients s3:ListBucket so that missing objects return 404")),
            status => Err(Error::new(Kind::Storage, format!("{url} answered {status}")).hint("clients take only 200 and 404")),
        }
    }
}

/// Whether reading a body took too long.
fn is_timeout(error: &std::io::Error) -> bool {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<reqwest::Error>());
    error.kind() == std::io::ErrorKind::TimedOut || cause.is_some_and(reqwest::Error::is_timeout)
}

/// Reading takes no credentials and may be plain; a URL that holds some may not.
fn check_credentials(base: &str) -> Result<()> {
    match reqwest::Url::parse(base) {
        Ok(url) if url.username().is_empty() && url.password().is_none() => Ok(()),
        Ok(url) if url.scheme() == "https" || url.host_str().is_some_and(transport::permits_plain) => Ok(()),
        Ok(url) => Err(transport::refused("the URL with a user name or password", url.host_str().unwrap_or_default(), "https://")),
        Err(error) => Err(Error::invalid(format!("`{}` is no URL: {error}", base.escape_debug()))),
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
            .map_err(|error| Error::io("fetch", format!("{}/{name}", self.base), error))?;
        super::memory::check_limit(name, bytes.len() as u64, limit)?;
        Ok(Some(Object { token: Token(Vec::new()), bytes }))
    }

    fn open(&self, name: &ObjectName) -> Result<Option<Box<dyn Read + Send>>> {
        Ok(self.request(name)?.map(|response| Box::new(response) as Box<dyn Read + Send>))
    }
}
