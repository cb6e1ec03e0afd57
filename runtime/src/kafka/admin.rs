//! What is asked of the brokers about topics and groups, and done to them. Every call makes a client of its own and drops
//! it, for librdkafka's admin calls can hang on a client that has outlived a coordinator.

mod deletions;
mod descriptions;
mod topics;

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::error::{KafkaError, KafkaResult};

pub use self::deletions::{delete, forget, purge};
pub use self::descriptions::{Described, describe, list};
pub(super) use self::descriptions::{compacted, members, partitions};
pub use self::topics::{Kind, NewTopic, create, grow};
use super::client::{ASK, Client, Error, Logs};
use super::fault::describe as reason;

fn asking(topics: &[&str], error: &KafkaError) -> Error {
    Error::failed(format!("describe topic {}", topics.join(", ")), reason(error))
}

/// Does something with an admin client, which is let go by a thread of its own: that takes as long as one of its polls, a
/// tenth of a second.
fn with_admin<T>(client: &Client, act: impl FnOnce(&AdminClient<Logs>) -> T) -> Result<T, Error> {
    let admin: AdminClient<Logs> = super::client::create(&client.config(&[], &[]))?;
    let done = act(&admin);
    let letting_go = thread::Builder::new().name("admin client".into()).spawn(move || drop(admin));
    // Without a thread it was let go here.
    drop(letting_go);
    Ok(done)
}

fn options() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(ASK)).request_timeout(Some(ASK + Duration::from_secs(2)))
}

/// Waits for a future whose answer comes from librdkafka's own threads.
fn block_on<T>(future: impl Future<Output = KafkaResult<T>>) -> KafkaResult<T> {
    let waker = Waker::from(Arc::new(Parked(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(answer) = future.as_mut().poll(&mut context) {
            return answer;
        }
        thread::park();
    }
}

struct Parked(Thread);

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
