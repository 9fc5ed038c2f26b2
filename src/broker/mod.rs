//! Requests to signing workers over RabbitMQ: which broker, which queues, which messages. What a request means is decided
//! above; here it is only carried, never trusted: a message holds references and expectations, under its sender's
//! signature, and the worker reads what it signs from the store itself.

#[cfg(not(feature = "workers"))]
mod absent;
mod answer;
#[cfg(feature = "workers")]
mod connection;
mod message;
#[cfg(feature = "workers")]
mod options;
mod queues;

#[cfg(not(feature = "workers"))]
pub use absent::{Broker, BrokerOptions, Delivery, Incoming};
pub use answer::{Certifiers, Credential, Subject};
#[cfg(feature = "workers")]
pub use connection::{Broker, Delivery, Incoming};
pub use message::{Ask, Changes, FileReference, LONGEST_LIFE, MESSAGE_LIMIT, Reply, Request, RoleReference, Sealed, new_id};
#[cfg(feature = "workers")]
pub use options::BrokerOptions;
pub use queues::{DeadLetter, QueueState, Queues, WorkerRole};
