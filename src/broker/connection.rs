use super::{BrokerOptions, DeadLetter, QueueState, Queues, WorkerRole};
use crate::error::{Error, Kind, Result};
use futures_util::StreamExt;
use lapin::message::{BasicGetMessage, Delivery as AmqpDelivery};
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicGetOptions, BasicNackOptions, BasicPublishOptions, BasicQosOptions,
    ConfirmSelectOptions, QueueDeclareOptions,
};
use lapin::protocol::{AMQPErrorKind, AMQPHardError};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, Consumer, ErrorKind};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// A request that was delivered so often without an answer ends among the dead letters: it, not the worker, is to blame.
const DELIVERY_LIMIT: i64 = 20;
/// So many dead letters are kept.
const MOST_DEAD: i64 = 10_000;
/// Says in a dead letter why a worker put it there.
const REASON: &str = "publish-reason";
/// How long the message was, where only its beginning is kept.
const LENGTH: &str = "publish-length";
const QUEUE: &str = "publish-queue";
/// So much of a message is kept as a dead letter. Requests of callers are far shorter.
const KEPT: usize = 64 * 1024;
/// Nothing that the broker answers takes this long.
const PATIENCE: Duration = Duration::from_secs(20);

/// No broker takes longer to take back what was given back, unless it has a disk that is nearly stuck.
const TAKEN_BACK: Duration = Duration::from_secs(10);

/// A connection to the broker. All queues are there when it is made.
pub struct Broker {
    runtime: Runtime,
    connection: Connection,
    channel: Channel,
    replies: Option<Consumer>,
    queues: Queues,
    place: String,
}

/// Requests to one role, as they come.
pub struct Incoming {
    channel: Channel,
    consumer: Consumer,
}

/// A message that was delivered and is not acknowledged yet: if this process dies, another one gets it.
pub struct Delivery {
    inner: AmqpDelivery,
}

impl Broker {
    /// Connects and declares the queues of a repository.
    pub fn connect(options: &BrokerOptions, repository: &str) -> Result<Self> {
        let place = options.to_string();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(|error| Error::new(Kind::Unexpected, "cannot start a runtime for the broker").source(error))?;
        let tls = options.tls()?;
        let (connection, channel) = within(&runtime, &place, "connect", async {
            let runtime = lapin::runtime::default_runtime()?;
            let connection = Connection::connect_uri_with_config(options.uri(), ConnectionProperties::default(), tls, runtime).await?;
            let channel = connection.create_channel().await?;
            channel.confirm_select(ConfirmSelectOptions::default()).await?;
            Ok((connection, channel))
        })?;
        let broker = Self { runtime, connection, channel, replies: None, queues: Queues::of(repository), place };
        broker.declare()?;
        Ok(broker)
    }

    fn declare(&self) -> Result<()> {
        let dead = self.queues.dead();
        self.run("declare the queues", async {
            let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
            let quorum = || AMQPValue::LongString("quorum".into());
            // A sender can send invalid messages: the oldest ones are dropped.
            let most = AMQPValue::LongLongInt(MOST_DEAD);
            self.channel.queue_declare(dead.clone().into(), durable, table([("x-queue-type", quorum()), ("x-max-length", most)])).await?;
            for role in WorkerRole::ALL {
                let arguments = table([
                    ("x-queue-type", quorum()),
                    // One worker is active, the others are on standby.
                    ("x-single-active-consumer", AMQPValue::Boolean(true)),
                    ("x-delivery-limit", AMQPValue::LongLongInt(DELIVERY_LIMIT)),
                    ("x-dead-letter-exchange", AMQPValue::LongString("".into())),
                    ("x-dead-letter-routing-key", AMQPValue::LongString(dead.clone().into())),
                ]);
                self.channel.queue_declare(self.queues.role(role).into(), durable, arguments).await?;
            }
            Ok(())
        })
    }

    /// Sends a request; it is on disk when this returns. Replies to it come to [`Broker::next_reply`], those to earlier ones no
    /// more.
    pub fn send(&mut self, role: WorkerRole, id: &str, body: &[u8]) -> Result<()> {
        let queue = self.queues.reply(id);
        let earlier = self.replies.take().map(|replies| replies.tag());
        self.replies = Some(self.run("ask for replies", async {
            if let Some(tag) = earlier {
                self.channel.basic_cancel(tag, BasicCancelOptions::default()).await?;
            }
            // This connection's alone, and gone with it.
            let options = QueueDeclareOptions { exclusive: true, auto_delete: true, ..QueueDeclareOptions::default() };
            self.channel.queue_declare(queue.clone().into(), options, FieldTable::default()).await?;
            let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
            self.channel.basic_consume(queue.clone().into(), "".into(), options, FieldTable::default()).await
        })?);
        let properties = BasicProperties::default().with_delivery_mode(2).with_correlation_id(id.into()).with_message_id(id.into());
        self.publish(&self.queues.role(role), body, properties.with_reply_to(queue.into()))
    }

    /// The next message that is meant as a reply; `None` after `patience`. Any process with the broker's credentials can send
    /// one: [`super::Reply::open`] decides.
    pub fn next_reply(&mut self, patience: Duration) -> Result<Option<Vec<u8>>> {
        let Some(replies) = &mut self.replies else { return Ok(None) };
        let next = self.runtime.block_on(async { tokio::time::timeout(patience, replies.next()).await });
        match next {
            Err(_) => Ok(None),
            Ok(Some(Ok(delivery))) => Ok(Some(delivery.data)),
            Ok(Some(Err(error))) => Err(lost(&self.place, "wait for a reply", error)),
            Ok(None) => Err(gone(&self.place)),
        }
    }

    /// Replies to the sender of an authenticated request; one that is gone is no error. The properties of a message are not
    /// looked at: any process with the broker's credentials can set them.
    pub fn answer(&self, id: &str, body: &[u8]) -> Result<()> {
        let to = self.queues.reply(id);
        // Without `mandatory`: a message that no process waits for may be lost, because it is recorded elsewhere.
        let properties = BasicProperties::default().with_correlation_id(id.into());
        let publish = async {
            let options = BasicPublishOptions::default();
            self.channel.basic_publish("".into(), to.into(), options, body, properties).await?.await.map(drop)
        };
        self.run("answer", publish)
    }

    /// Starts to take requests to a role, at most so many before the first is acknowledged. `None`: the queue is not ready, and the
    /// connection is lost. RabbitMQ shows a quorum queue that another process has just declared before it runs, and
    /// answers its consumers with an internal error.
    pub fn serve(&self, role: WorkerRole, at_once: u16) -> Result<Option<Incoming>> {
        let queue = self.queues.role(role);
        self.run("serve", async {
            let channel = self.connection.create_channel().await?;
            channel.basic_qos(at_once, BasicQosOptions::default()).await?;
            match channel.basic_consume(queue.into(), "".into(), BasicConsumeOptions::default(), FieldTable::default()).await {
                Ok(consumer) => Ok(Some(Incoming { channel, consumer })),
                Err(error) if is_internal(&error) => Ok(None),
                Err(error) => Err(error),
            }
        })
    }

    /// The next request; `None` after `patience`.
    pub fn next(&self, incoming: &mut Incoming, patience: Duration) -> Result<Option<Delivery>> {
        let next = self.runtime.block_on(async { tokio::time::timeout(patience, incoming.consumer.next()).await });
        match next {
            Err(_) => Ok(None),
            Ok(Some(Ok(inner))) => Ok(Some(Delivery { inner })),
            Ok(Some(Err(error))) => Err(lost(&self.place, "take requests", error)),
            Ok(None) => Err(gone(&self.place)),
        }
    }

    /// Stops taking requests; those that were taken can still be finished.
    pub fn stop(&self, incoming: &Incoming) -> Result<()> {
        let tag: ShortString = incoming.consumer.tag();
        self.run("stop taking requests", incoming.channel.basic_cancel(tag, BasicCancelOptions::default()))
    }

    /// The request is done with.
    pub fn acknowledge(&self, delivery: &Delivery) -> Result<()> {
        self.run("acknowledge", async { delivery.inner.ack(BasicAckOptions::default()).await.map(drop) })
    }

    /// The request goes back into its queue.
    pub fn give_back(&self, delivery: &Delivery) -> Result<()> {
        self.run("give back", async {
            delivery.inner.nack(BasicNackOptions { requeue: true, ..BasicNackOptions::default() }).await.map(drop)
        })
    }

    /// These messages go to the dead letters, each with its reason. They are sent together and confirmed together: a flood
    /// holds up what waits behind it for as short as can be.
    pub fn dead_letter(&self, letters: &[(Delivery, String)]) -> Result<()> {
        let dead = self.queues.dead();
        let confirmed = self.run("send dead letters", async {
            let mut sent = Vec::new();
            for (delivery, reason) in letters {
                let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
                let body = &delivery.inner.data;
                let body = &body[..body.len().min(KEPT)];
                sent.push(self.channel.basic_publish("".into(), dead.clone().into(), options, body, delivery.as_letter(reason)).await?);
            }
            let mut confirmed = true;
            for sent in sent {
                confirmed &= matches!(sent.await?, Confirmation::Ack(None));
            }
            Ok(confirmed)
        })?;
        if !confirmed {
            return Err(Error::new(Kind::Storage, format!("the broker {} did not accept dead letters", self.place)));
        }
        letters.iter().try_for_each(|(delivery, _)| self.acknowledge(delivery))
    }

    /// The state of the queues, the dead letters last.
    pub fn states(&self) -> Result<Vec<QueueState>> {
        let names = WorkerRole::ALL.iter().map(|role| self.queues.role(*role)).chain([self.queues.dead()]);
        names
            .map(|name| {
                let queue = self.waiting(&name)?;
                Ok(QueueState { name, waiting: queue.message_count(), workers: queue.consumer_count() })
            })
            .collect()
    }

    /// Looks at every dead letter. Those for which `take` is true are removed, and with `requeue` sent to the queue
    /// they came from; the others stay. Says of each whether it was taken.
    pub fn dead_letters(&self, take: impl Fn(&DeadLetter) -> bool, requeue: bool) -> Result<Vec<(DeadLetter, bool)>> {
        let channel = self.run("read dead letters", self.connection.create_channel())?;
        let mut letters = Vec::new();
        let mut kept: Vec<BasicGetMessage> = Vec::new();
        // No more than there are now: what is requeued may be back at once.
        for _ in 0..self.waiting(&self.queues.dead())?.message_count() {
            let get = channel.basic_get(self.queues.dead().into(), BasicGetOptions::default());
            let Some(message) = self.run("read dead letters", get)? else { break };
            let letter = describe(&message);
            // A letter that another process wrote may name any queue, and a cut one is no request any more.
            let whole = message.data.len() == letter.length && WorkerRole::ALL.iter().any(|role| self.queues.role(*role) == letter.queue);
            let taken = take(&letter) && (whole || !requeue);
            if taken {
                if requeue {
                    let properties = BasicProperties::default().with_delivery_mode(2).with_message_id(letter.id.clone().into());
                    self.publish(&letter.queue, &message.data, properties)?;
                }
                self.run("take a dead letter", async { message.ack(BasicAckOptions::default()).await.map(drop) })?;
            } else {
                kept.push(message);
            }
            letters.push((letter, taken));
        }
        let returned = u32::try_from(kept.len()).unwrap_or(u32::MAX);
        for message in kept {
            let back = BasicNackOptions { requeue: true, ..BasicNackOptions::default() };
            self.run("requeue a dead letter", async { message.nack(back).await.map(drop) })?;
        }
        // The broker answers this when everything sent before has arrived: the process may end at once.
        self.run("end the work on dead letters", channel.close(200, "done".into()))?;
        // A quorum queue takes letters back when it has written that to its log. Until then, the next look would miss them.
        let until = Instant::now() + TAKEN_BACK;
        while self.waiting(&self.queues.dead())?.message_count() < returned && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(letters)
    }

    fn waiting(&self, queue: &str) -> Result<lapin::Queue> {
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        self.run("look at a queue", self.channel.queue_declare(queue.into(), passive, FieldTable::default()))
    }

    fn publish(&self, queue: &str, body: &[u8], properties: BasicProperties) -> Result<()> {
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let confirmed = self
            .run("send a request", async { self.channel.basic_publish("".into(), queue.into(), options, body, properties).await?.await })?;
        match confirmed {
            Confirmation::Ack(None) => Ok(()),
            Confirmation::Ack(Some(returned)) => {
                Err(Error::new(Kind::Storage, format!("the broker {} has no queue {queue}: {}", self.place, returned.reply_text)))
            }
            _ => Err(Error::new(Kind::Storage, format!("the broker {} did not accept a request for {queue}", self.place))),
        }
    }

    fn run<T>(&self, what: &str, work: impl Future<Output = lapin::Result<T>>) -> Result<T> {
        within(&self.runtime, &self.place, what, work)
    }
}

impl Delivery {
    /// The message.
    pub fn body(&self) -> &[u8] {
        &self.inner.data
    }

    /// The id that the message's properties give it, which any process can set: without control characters, and not too long.
    pub fn id(&self) -> String {
        id_of(&self.inner.properties)
    }

    /// The properties of the message as a dead letter.
    fn as_letter(&self, reason: &str) -> BasicProperties {
        let mut headers = FieldTable::default();
        headers.insert(REASON.into(), AMQPValue::LongString(reason.into()));
        headers.insert(QUEUE.into(), AMQPValue::LongString(self.inner.routing_key.to_string().into()));
        headers.insert(LENGTH.into(), AMQPValue::LongLongInt(i64::try_from(self.inner.data.len()).unwrap_or(i64::MAX)));
        BasicProperties::default().with_delivery_mode(2).with_message_id(self.id().into()).with_headers(headers)
    }

    /// How often it was delivered before without an answer.
    pub fn earlier(&self) -> u64 {
        // The broker sets the flag, and any sender can set the header.
        if !self.inner.redelivered {
            return 0;
        }
        let headers = self.inner.properties.headers().as_ref();
        match headers.and_then(|headers| headers.inner().get("x-delivery-count")) {
            Some(AMQPValue::LongLongInt(count)) => u64::try_from(*count).unwrap_or(0),
            Some(AMQPValue::LongInt(count)) => u64::try_from(*count).unwrap_or(0),
            _ => 0,
        }
    }
}

fn id_of(properties: &BasicProperties) -> String {
    let shown = |c: char| if c.is_ascii_graphic() { c } else { '?' };
    properties.message_id().as_ref().map(|id| id.to_string().chars().take(64).map(shown).collect()).unwrap_or_default()
}

fn describe(message: &BasicGetMessage) -> DeadLetter {
    let headers = message.properties.headers().as_ref();
    let text = |name: &str| match headers.and_then(|headers| headers.inner().get(name)) {
        Some(AMQPValue::LongString(text)) => Some(text.to_string()),
        _ => None,
    };
    let length = match headers.and_then(|headers| headers.inner().get(LENGTH)) {
        Some(AMQPValue::LongLongInt(length)) => usize::try_from(*length).ok(),
        _ => None,
    };
    let by_broker = || match text("x-first-death-reason")?.as_str() {
        "delivery_limit" => Some(format!("delivered {} times, and each time the worker failed or returned it", DELIVERY_LIMIT + 1)),
        other => Some(other.to_owned()),
    };
    DeadLetter {
        id: id_of(&message.properties),
        queue: text(QUEUE).or_else(|| text("x-first-death-queue")).unwrap_or_default(),
        reason: text(REASON).or_else(by_broker).unwrap_or_else(|| "unknown".into()),
        length: length.unwrap_or(message.data.len()),
    }
}

fn table<const N: usize>(entries: [(&str, AMQPValue); N]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in entries {
        table.insert(name.into(), value);
    }
    table
}

fn within<T>(runtime: &Runtime, place: &str, what: &str, work: impl Future<Output = lapin::Result<T>>) -> Result<T> {
    match runtime.block_on(async { tokio::time::timeout(PATIENCE, work).await }) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(lost(place, what, error)),
        Err(_) => Err(Error::new(Kind::Storage, format!("cannot {what}: the broker {place} does not answer"))),
    }
}

fn is_internal(error: &lapin::Error) -> bool {
    matches!(error.kind(), ErrorKind::ProtocolError(error) if *error.kind() == AMQPErrorKind::Hard(AMQPHardError::INTERNALERROR))
}

fn lost(place: &str, what: &str, error: lapin::Error) -> Error {
    Error::new(Kind::Storage, format!("cannot {what}: the broker {place} failed"))
        .source(error)
        .hint("check that it runs, and the user, password and certificates")
}

fn gone(place: &str) -> Error {
    Error::new(Kind::Storage, format!("the broker {place} closed the connection"))
}
