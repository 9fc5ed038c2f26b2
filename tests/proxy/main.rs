//! An HTTP proxy for one upstream: `proxy HOST:PORT DELAY FAULT`.
//!
//! DELAY is milliseconds added to each request. FAULT is `none`, `strip` (takes conditions out of requests), or KIND:N for
//! the Nth request: `lie` (carried out, answered 500), `refuse` (not carried out, answered 500), `cut` (carried out, the
//! connection cut), `hang` (carried out, never answered). Prints its URL; when its input ends, the number of requests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, missing_docs, dead_code)]

#[path = "../fakes/http.rs"]
mod http;

use http::{Response, read_body, read_message};
use std::io::{BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

struct Proxy {
    upstream: String,
    delay: Duration,
    kind: String,
    at: usize,
    requests: AtomicUsize,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [upstream, delay, fault] = arguments.as_slice() else { panic!("proxy HOST:PORT DELAY FAULT") };
    let (kind, at) = fault.split_once(':').unwrap_or((fault, "0"));
    let delay = Duration::from_millis(delay.parse().unwrap());
    let proxy = Proxy { upstream: upstream.clone(), delay, kind: kind.into(), at: at.parse().unwrap(), requests: AtomicUsize::new(0) };
    let proxy = Arc::new(proxy);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    println!("http://{}", listener.local_addr().unwrap());
    std::io::stdout().flush().unwrap();
    let serving = Arc::clone(&proxy);
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let proxy = Arc::clone(&serving);
            std::thread::spawn(move || {
                let _ = proxy.connection(&client);
                let _ = client.shutdown(Shutdown::Both);
            });
        }
    });
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    println!("{}", proxy.requests.load(Ordering::SeqCst));
}

impl Proxy {
    fn connection(&self, client: &TcpStream) -> std::io::Result<()> {
        client.set_nodelay(true)?;
        let server = TcpStream::connect(&self.upstream)?;
        server.set_nodelay(true)?;
        let (mut to_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
        let (mut from_client, mut from_server) = (BufReader::new(client.try_clone()?), BufReader::new(server));
        while let Some((first, headers)) = read_message(&mut from_client)? {
            if headers.contains_key("expect") {
                to_client.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
            }
            let body = read_body(&mut from_client, &headers)?;
            let number = self.requests.fetch_add(1, Ordering::SeqCst) + 1;
            let fault = if number == self.at { self.kind.as_str() } else { "" };
            std::thread::sleep(self.delay);
            if fault == "refuse" {
                Response::new(500).body("<Error><Code>InternalError</Code></Error>").send(&mut to_client)?;
                continue;
            }
            let mut head = format!("{first}\r\n");
            for (name, value) in &headers {
                let condition =
                    self.kind == "strip" && ["if-match", "if-none-match", "x-goog-if-generation-match"].contains(&name.as_str());
                if name != "expect" && !condition {
                    head.push_str(&format!("{name}: {value}\r\n"));
                }
            }
            head.push_str("\r\n");
            to_server.write_all(head.as_bytes())?;
            to_server.write_all(&body)?;
            let Some((status, answer)) = read_message(&mut from_server)? else { return Ok(()) };
            let bodiless = first.starts_with("HEAD ") || [" 204 ", " 304 "].iter().any(|code| status.contains(code));
            let content = if bodiless { Vec::new() } else { read_body(&mut from_server, &answer)? };
            match fault {
                "lie" => {
                    Response::new(500).body("<Error><Code>InternalError</Code></Error>").send(&mut to_client)?;
                    continue;
                }
                "cut" => return Ok(()),
                "hang" => loop {
                    std::thread::park();
                },
                _ => {}
            }
            let mut head = format!("{status}\r\n");
            for (name, value) in answer.iter().filter(|(name, _)| *name != "transfer-encoding" && (bodiless || *name != "content-length")) {
                head.push_str(&format!("{name}: {value}\r\n"));
            }
            if !bodiless {
                head.push_str(&format!("content-length: {}\r\n", content.len()));
            }
            head.push_str("\r\n");
            to_client.write_all(head.as_bytes())?;
            to_client.write_all(&content)?;
        }
        Ok(())
    }
}
