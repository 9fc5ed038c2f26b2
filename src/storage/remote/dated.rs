//! The store's clock, from the `Date` of its answers: no request is made for it.

use chrono::{DateTime, Utc};
use object_store::ClientOptions;
use object_store::client::{HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService, ReqwestConnector};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime};

/// The time of the last answer, and when it came. The time that has passed since is measured, not read from the clock that
/// is to be compared.
#[derive(Clone, Debug, Default)]
pub(super) struct StoreClock(Arc<Mutex<Option<(SystemTime, Instant)>>>);

impl StoreClock {
    /// The store's time now; `None` before its first answer.
    pub fn now(&self) -> Option<SystemTime> {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.and_then(|(date, at)| date.checked_add(at.elapsed()))
    }

    fn note(&self, response: &HttpResponse) {
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        // An answer out of a cache has the date at which it was stored.
        if header("age").is_some() {
            return;
        }
        let date = header("date").and_then(|text| DateTime::parse_from_rfc2822(text).ok());
        if let Some(date) = date {
            let seen = (date.with_timezone(&Utc).into(), Instant::now());
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen);
        }
    }
}

/// Makes clients whose answers set the clock.
impl HttpConnector for StoreClock {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Dated { client: ReqwestConnector::default().connect(options)?, clock: self.clone() }))
    }
}

#[derive(Debug)]
struct Dated {
    client: HttpClient,
    clock: StoreClock,
}

type Answer<'a> = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'a>>;

impl HttpService for Dated {
    fn call<'a, 'b>(&'a self, request: HttpRequest) -> Answer<'b>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(async move {
            let response = self.client.execute(request).await?;
            self.clock.note(&response);
            Ok(response)
        })
    }
}
