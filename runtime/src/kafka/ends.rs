//! Where partitions end, open transactions included.

use rdkafka::consumer::{BaseConsumer, Consumer};
use wasmill_core::port::Fault;
use wasmill_core::record::{Offset, Partition};

use super::client::{ASK, Client, Logs};
use super::fault::asked;

/// Asks for ends, with a client that is made at the first question.
#[derive(Default)]
pub(super) struct Ends {
    lookup: Option<BaseConsumer<Logs>>,
}

impl Ends {
    pub(super) fn end(&mut self, client: &Client, topic: &str, partition: Partition) -> Result<Offset, Fault> {
        let lookup = self.lookup.take().map_or_else(|| client.lookup_all(), Ok)?;
        let (_, end) = lookup
            .fetch_watermarks(topic, partition.0 as i32, ASK)
            .map_err(|error| asked(&format!("ask for the end of {topic}/{partition}"), &error))?;
        self.lookup = Some(lookup);
        Ok(Offset(end))
    }
}
