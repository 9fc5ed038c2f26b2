//! Requests to signing workers over RabbitMQ: which broker, which queues, which messages. What a request means is decided
//! above; here it is only carried, never trusted: a message holds references and expectations, under its sender's
//! signature, and the worker reads what it signs from the store itself.

mod answer;
mod connection;
mod message;
mod options;
mod queues;

pub use answer::{Certifiers, Credential, Subject};
pub use connection::{Broker, Delivery, Incoming};
pub use message::{Ask, Changes, FileReference, LONGEST_LIFE, MESSAGE_LIMIT, Reply, Request, RoleReference, Sealed, new_id};
pub use options::BrokerOptions;
pub use queues::{DeadLetter, QueueState, Queues, WorkerRole};
