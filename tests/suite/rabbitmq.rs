//! A real RabbitMQ on loopback, for as long as a test holds it, and an attacker who has its credentials.

use lapin::message::Delivery;
use lapin::options::{BasicConsumeOptions, BasicPublishOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, Consumer};
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::runtime::Runtime;

pub struct RabbitMq {
    directory: TempDir,
    server: Child,
    port: u16,
    names: u16,
}

static RUNNING: Mutex<Weak<RabbitMq>> = Mutex::new(Weak::new());

impl RabbitMq {
    /// The one that other tests use at this moment, or a new one.
    pub fn up() -> Arc<Self> {
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(up) = running.upgrade() {
            return up;
        }
        let up = Arc::new(Self::start());
        *running = Arc::downgrade(&up);
        up
    }

    fn start() -> Self {
        let directory = TempDir::new().unwrap();
        let free = || TcpListener::bind("127.0.0.1:0").unwrap();
        let held = [free(), free(), free()];
        let [port, distribution, names] = held.each_ref().map(|listener| listener.local_addr().unwrap().port());
        drop(held);
        let path = |name: &str| directory.path().join(name);
        fs::create_dir_all(path("log")).unwrap();
        fs::write(path("plugins"), "[].").unwrap();
        let config = format!(
            "listeners.tcp.1 = 127.0.0.1:{port}\nvm_memory_high_watermark.absolute = 256MB\ndisk_free_limit.absolute = 50MB\nlog.console = false\n"
        );
        fs::write(path("rabbitmq.conf"), config).unwrap();
        let server = Command::new("/usr/lib/rabbitmq/bin/rabbitmq-server")
            .env("HOME", directory.path())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("ERL_EPMD_PORT", names.to_string())
            // The name server may be stopped although it has not noticed yet that the broker is gone.
            .env("ERL_EPMD_RELAXED_COMMAND_CHECK", "1")
            .env("RABBITMQ_NODENAME", format!("suite{port}@localhost"))
            .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_NODE_PORT", port.to_string())
            .env("RABBITMQ_DIST_PORT", distribution.to_string())
            .env("RABBITMQ_MNESIA_BASE", path("mnesia"))
            .env("RABBITMQ_LOG_BASE", path("log"))
            .env("RABBITMQ_PID_FILE", path("pid"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", path("plugins"))
            .env("RABBITMQ_CONFIG_FILE", path("rabbitmq"))
            .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "+S 1:1 -kernel inet_dist_use_interface {127,0,0,1}")
            .stdin(Stdio::null())
            .stdout(fs::File::create(path("log/console")).unwrap())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("RabbitMQ is installed: apt-get install rabbitmq-server");
        let up = Self { directory, server, port, names };
        let deadline = Instant::now() + Duration::from_secs(90);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let console = up.directory.path().join("log/console");
            assert!(Instant::now() < deadline, "RabbitMQ does not come up: {:?}", fs::read_to_string(console));
            std::thread::sleep(Duration::from_millis(100));
        }
        up
    }

    pub fn url(&self) -> String {
        format!("amqp://guest@127.0.0.1:{}", self.port)
    }
}

impl RabbitMq {
    /// What the broker itself reports, for a test that failed.
    fn show_errors(&self) {
        for log in fs::read_dir(self.directory.path().join("log")).into_iter().flatten().flatten() {
            let text = fs::read_to_string(log.path()).unwrap_or_default();
            text.lines().filter(|line| line.contains("[error]")).take(60).for_each(|line| println!("broker: {line}"));
        }
    }
}

impl Drop for RabbitMq {
    fn drop(&mut self) {
        let group = format!("-{}", self.server.id());
        let _ = Command::new("kill").args(["-9", "--", &group]).status();
        let _ = self.server.wait();
        if std::thread::panicking() {
            self.show_errors();
        }
        // The name server outlives the broker.
        let _ = Command::new("epmd").args(["-port", &self.names.to_string(), "-kill"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}

/// A connection that does what no publisher does.
pub struct Attacker {
    runtime: Runtime,
    _connection: Connection,
    channel: Channel,
}

impl Attacker {
    pub fn connect(broker: &RabbitMq) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let url = broker.url().replace("guest@", "guest:guest@");
        let (connection, channel) = runtime.block_on(async {
            let connection = Connection::connect(&url, ConnectionProperties::default()).await.unwrap();
            let channel = connection.create_channel().await.unwrap();
            (connection, channel)
        });
        Self { runtime, _connection: connection, channel }
    }

    pub fn send(&self, queue: &str, body: &[u8], properties: BasicProperties) {
        let send = self.channel.basic_publish("".into(), queue.into(), BasicPublishOptions::default(), body, properties);
        self.runtime.block_on(async { send.await.unwrap().await.unwrap() });
    }

    /// Takes messages from a queue in a worker's place.
    pub fn take_from(&self, queue: &str) -> Consumer {
        let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
        self.runtime.block_on(self.channel.basic_consume(queue.into(), "".into(), options, FieldTable::default())).unwrap()
    }

    /// The next message that was taken.
    pub fn next(&self, consumer: &mut Consumer) -> Delivery {
        use futures_util::StreamExt;
        let next = async { tokio::time::timeout(Duration::from_secs(30), consumer.next()).await };
        self.runtime.block_on(next).expect("a message within 30 s").unwrap().unwrap()
    }
}
