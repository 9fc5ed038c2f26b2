use chrono::{DateTime, Utc};
use reqwest::blocking::Response;
use reqwest::header::HeaderMap;
use std::io::Read;

/// What a web server answered to one request, after redirects.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Where the answer came from.
    pub url: String,
    /// The start of the body.
    pub body: Vec<u8>,
    /// This machine's time when the headers came.
    pub received: DateTime<Utc>,
    headers: HeaderMap,
    length: Option<u64>,
}

impl Answer {
    /// Reads at most `limit` bytes of the body.
    pub(super) fn read(response: Response, limit: u64) -> std::io::Result<Self> {
        let mut answer = Self {
            status: response.status().as_u16(),
            url: response.url().to_string(),
            body: Vec::new(),
            received: Utc::now(),
            headers: response.headers().clone(),
            length: response.content_length(),
        };
        if limit > 0 {
            response.take(limit).read_to_end(&mut answer.body)?;
        }
        Ok(answer)
    }

    /// A header, if it is there and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim)
    }

    /// The length that the server announced.
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    /// The server's time. An answer out of a cache has the date at which it was stored.
    pub fn date(&self) -> Option<DateTime<Utc>> {
        let date = self.header("date").filter(|_| self.header("age").is_none())?;
        DateTime::parse_from_rfc2822(date).ok().map(|date| date.with_timezone(&Utc))
    }

    /// Whether it is a page for people, whatever its status.
    pub fn is_page(&self) -> bool {
        let start = self.body.trim_ascii_start().get(..5).unwrap_or_default().to_ascii_lowercase();
        self.header("content-type").is_some_and(|kind| kind.starts_with("text/html")) || start.starts_with(b"<!doc") || start == b"<html"
    }
}
