//! Where credentials may be sent. What is not encrypted may leave this machine only if the operator permits it on the command
//! line: a config or a variable may come from a pull request.
//!
//! Addresses are parsed as the http clients parse them, so that nothing is taken for this machine that they would send
//! elsewhere: `http://127.0.0.1.example.org`, `http://localhost@example.org`.

use crate::error::{Error, Result};
use reqwest::Url;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};

/// The flag; no variable and no key of the config replaces it.
pub const FLAG: &str = "--allow-plain-http";

/// Of the whole process, and not part of any value that is made from a config.
static PLAIN_ALLOWED: AtomicBool = AtomicBool::new(false);

/// Permits unencrypted connections to any host, for this process.
pub fn allow_plain() {
    PLAIN_ALLOWED.store(true, Ordering::Relaxed);
}

/// Whether unencrypted connections to this host are permitted.
pub fn permits_plain(host: &str) -> bool {
    is_loopback(host) || PLAIN_ALLOWED.load(Ordering::Relaxed)
}

/// Whether a host is this machine: `localhost` or an address that is always this machine's.
pub fn is_loopback(host: &str) -> bool {
    let address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

/// Reads the URL of an endpoint that gets credentials; `what` is where it was configured. Nothing of it is shown but the
/// host, for the rest may hold secrets.
pub fn check(url: &str, what: &str) -> Result<Url> {
    // One parser takes `\\` for `/` and maps other digits to 0-9, another refuses them: what both read alike is ASCII.
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&b);
    if !url.bytes().all(fits) {
        return Err(
            Error::invalid(format!("{what} has characters that no URL has")).hint("write https://HOST; other scripts as xn--… names")
        );
    }
    let parsed = Url::parse(url).map_err(|error| Error::invalid(format!("{what} is no URL: {error}")).hint("write https://HOST"))?;
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err(Error::invalid(format!("{what} holds a user name or a password"))
            .hint("take it out of the URL; credentials have variables of their own: docs/stores.md and docs/keys.md"));
    }
    let host = parsed.host_str().unwrap_or_default();
    match parsed.scheme() {
        "https" => Ok(parsed),
        "http" if permits_plain(host) => Ok(parsed),
        "http" => Err(refused(what, host, "https://")),
        other => Err(Error::invalid(format!("{what} is {other}:, not https://"))),
    }
}

/// The refusal of an unencrypted connection to a host.
pub fn refused(what: &str, host: &str, instead: &str) -> Error {
    Error::invalid(format!("{what} is not {instead} and {host} is not this machine: credentials would travel in clear"))
        .hint(format!("use {instead}"))
        .hint(format!("if the network on the way is yours alone: {FLAG}, on the command line only"))
}

/// Whether a URL is not encrypted.
pub fn is_plain(url: &str) -> bool {
    Url::parse(url).is_ok_and(|url| url.scheme() == "http")
}

/// Whether a URL is plain http to this machine, where no proxy must come between.
pub fn is_local(url: &str) -> bool {
    Url::parse(url).is_ok_and(|url| url.scheme() == "http" && url.host_str().is_some_and(is_loopback))
}
