//! Where partitions end, open transactions included, and where the records of a time begin.

use rdkafka::consumer::{BaseConsumer, Consumer};
use wasmill_core::port::Fault;
use wasmill_core::record::{Offset, Partition, Timestamp};

use super::client::{ASK, Client, Error, Logs};
use super::fault::asked;
use super::lookup::at_time;

/// Asks for ends, with a client that is made at the first question.
#[derive(Default)]
pub(super) struct Ends {
    lookup: Option<BaseConsumer<Logs>>,
}

impl Ends {
    pub(super) fn end(&mut self, client: &Client, topic: &str, partition: Partition) -> Result<Offset, Fault> {
        let (_, end) = self
            .lookup(client)?
            .fetch_watermarks(topic, partition.0 as i32, ASK)
            .map_err(|error| asked(&format!("ask for the end of {topic}/{partition}"), &error))?;
        Ok(Offset(end))
    }

    /// The first record of a time or later, if there is one.
    pub(super) fn first_at(
        &mut self,
        client: &Client,
        topic: &str,
        partition: Partition,
        time: Timestamp,
    ) -> Result<Option<Offset>, Fault> {
        let found = at_time(self.lookup(client)?, topic, partition.0 as i32, time);
        let failed = |error| asked(&format!("ask where {topic}/{partition} has records of a time"), &error);
        Ok(found.map_err(failed)?.map(Offset))
    }

    fn lookup(&mut self, client: &Client) -> Result<&BaseConsumer<Logs>, Error> {
        let lookup = self.lookup.take().map_or_else(|| client.lookup_all(), Ok)?;
        Ok(self.lookup.insert(lookup))
    }
}
