//! An imitation of Google Cloud Storage: the part of its XML API that is used, with generations. No real server can be
//! installed here, so this is what "preview" means.

use super::http::{Request, Response, serve};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

#[derive(Clone)]
struct Object {
    body: Vec<u8>,
    generation: u64,
    modified: SystemTime,
    cache_control: String,
    content_type: String,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Object>,
    uploads: BTreeMap<String, BTreeMap<u32, Vec<u8>>>,
    generation: u64,
    requests: Vec<String>,
    /// How far this server's clock is ahead, in seconds.
    ahead: i64,
    /// An object that no condition on writing ever matches.
    refused: Option<String>,
}

/// A running imitation with one bucket, called `bucket`.
#[derive(Clone)]
pub struct Gcs {
    pub url: String,
    state: Arc<Mutex<State>>,
}

impl Gcs {
    pub fn start() -> Self {
        Self::with(true)
    }

    /// One that executes every write and ignores its condition, as some clones do.
    pub fn ignoring_conditions() -> Self {
        Self::with(false)
    }

    fn with(conditions: bool) -> Self {
        let state: Arc<Mutex<State>> = Arc::default();
        let shared = Arc::clone(&state);
        let url = serve(move |request| {
            let mut state = shared.lock().unwrap();
            let now = chrono::Utc::now() + chrono::TimeDelta::seconds(state.ahead);
            Some(state.answer(&request, conditions).header("Date", date(now.into(), "%a, %d %b %Y %H:%M:%S GMT")))
        });
        Self { url, state }
    }

    /// What was asked since the last time: `METHOD name`, with `?` and its parameters cut to their names.
    pub fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().requests)
    }

    /// Sets the clock that its answers show.
    pub fn set_ahead(&self, seconds: i64) {
        self.state.lock().unwrap().ahead = seconds;
    }

    /// Makes every object look as old as this.
    pub fn age(&self, by: std::time::Duration) {
        self.state.lock().unwrap().objects.values_mut().for_each(|object| object.modified -= by);
    }

    pub fn names(&self) -> Vec<String> {
        self.state.lock().unwrap().objects.keys().cloned().collect()
    }

    /// From now on, conditional writes of this object are refused whatever is stored there.
    pub fn refuse(&self, name: &str) {
        self.state.lock().unwrap().refused = Some(name.to_owned());
    }

    pub fn get(&self, name: &str) -> Option<Vec<u8>> {
        self.state.lock().unwrap().objects.get(name).map(|object| object.body.clone())
    }

    pub fn put(&self, name: &str, body: &[u8]) {
        self.state.lock().unwrap().put(name, body.to_vec(), String::new(), String::new());
    }
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let hex: String = rest.by_ref().take(2).map(char::from).collect();
            bytes.push(u8::from_str_radix(&hex, 16).unwrap());
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).unwrap()
}

fn date(time: SystemTime, format: &str) -> String {
    chrono::DateTime::<chrono::Utc>::from(time).format(format).to_string()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

impl State {
    fn put(&mut self, name: &str, body: Vec<u8>, cache_control: String, content_type: String) -> Response {
        self.generation += 1;
        let object = Object { body, generation: self.generation, modified: SystemTime::now(), cache_control, content_type };
        self.objects.insert(name.to_owned(), object);
        Response::new(200).header("x-goog-generation", self.generation).header("ETag", format!("\"{}\"", self.generation))
    }

    fn answer(&mut self, request: &Request, conditions: bool) -> Response {
        let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
        let query: BTreeMap<String, String> = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(name, value)| (name.to_owned(), decode(value)))
            .collect();
        let path = decode(path);
        let Some(name) = path.strip_prefix("/bucket").map(|rest| rest.trim_start_matches('/')) else {
            return Response::new(404).body("<Error><Code>NoSuchBucket</Code></Error>");
        };
        let parameters: Vec<&str> =
            query.keys().map(String::as_str).filter(|name| ["uploads", "uploadId", "list-type"].contains(name)).collect();
        self.requests.push(format!(
            "{} {name}{}",
            request.method,
            if parameters.is_empty() { String::new() } else { format!("?{}", parameters.join("&")) }
        ));
        let header = |name: &str| request.headers.get(name).cloned().unwrap_or_default();
        match (request.method.as_str(), query.contains_key("uploads"), query.get("uploadId")) {
            ("POST", true, _) => {
                let id = format!("upload-{}", self.uploads.len());
                self.uploads.insert(id.clone(), BTreeMap::new());
                Response::new(200).body(format!("<InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"))
            }
            ("PUT", _, Some(id)) => {
                let number = query["partNumber"].parse().unwrap();
                let Some(parts) = self.uploads.get_mut(id) else { return Response::new(404) };
                parts.insert(number, request.body.clone());
                Response::new(200).header("ETag", format!("\"part-{number}\""))
            }
            ("POST", _, Some(id)) => {
                let body = self.uploads.remove(id).unwrap().into_values().flatten().collect();
                self.put(name, body, String::new(), String::new())
                    .body("<CompleteMultipartUploadResult><ETag>\"whole\"</ETag></CompleteMultipartUploadResult>")
            }
            ("DELETE", _, Some(id)) => {
                self.uploads.remove(id);
                Response::new(204)
            }
            ("GET", ..) if name.is_empty() => self.list(query.get("prefix").map_or("", String::as_str)),
            ("GET" | "HEAD", ..) => self.read(name, request.method == "HEAD"),
            ("DELETE", ..) => Response::new(if self.objects.remove(name).is_some() { 204 } else { 404 }),
            ("PUT", ..) => {
                let wanted = request.headers.get("x-goog-if-generation-match").map(|generation| generation.parse::<u64>().unwrap());
                let there = self.objects.get(name).map_or(0, |object| object.generation);
                let refused = self.refused.as_deref() == Some(name) && wanted.is_some();
                if refused || conditions && wanted.is_some_and(|wanted| wanted != there) {
                    return Response::new(412).body("<Error><Code>PreconditionFailed</Code></Error>");
                }
                let source = header("x-goog-copy-source");
                if source.is_empty() {
                    return self.put(name, request.body.clone(), header("cache-control"), header("content-type"));
                }
                let source = decode(&source);
                match self.objects.get(source.trim_start_matches("/bucket").trim_start_matches("bucket").trim_start_matches('/')).cloned() {
                    Some(from) => self.put(name, from.body, from.cache_control, from.content_type).body("<CopyObjectResult/>"),
                    None => Response::new(404).body("<Error><Code>NoSuchKey</Code></Error>"),
                }
            }
            _ => Response::new(501),
        }
    }

    fn read(&self, name: &str, head: bool) -> Response {
        let Some(object) = self.objects.get(name) else {
            return Response::new(404).body(if head { "" } else { "<Error><Code>NoSuchKey</Code></Error>" });
        };
        let response = Response::new(200)
            .header("ETag", format!("\"{}\"", object.generation))
            .header("x-goog-generation", object.generation)
            .header("Last-Modified", date(object.modified, "%a, %d %b %Y %H:%M:%S GMT"))
            .header("Cache-Control", &object.cache_control)
            .header("Content-Type", &object.content_type);
        if head { Response { length: Some(object.body.len()), ..response } } else { response.body(object.body.clone()) }
    }

    fn list(&self, prefix: &str) -> Response {
        let mut xml = "<ListBucketResult>".to_owned();
        for (name, object) in self.objects.iter().filter(|(name, _)| name.starts_with(prefix)) {
            xml.push_str(&format!(
                "<Contents><Key>{}</Key><LastModified>{}</LastModified><ETag>\"{}\"</ETag><Size>{}</Size></Contents>",
                escape(name),
                date(object.modified, "%Y-%m-%dT%H:%M:%S%.3fZ"),
                object.generation,
                object.body.len()
            ));
        }
        Response::new(200).body(format!("{xml}</ListBucketResult>"))
    }
}
