//! Where partitions end, open transactions included, and where the records of a time begin.

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use wasmill_core::port::Fault;
use wasmill_core::record::{Offset, Partition, Timestamp};

use super::client::{ASK, Client, Logs};
use super::fault::asked;
use super::lookup::at_time;

/// Asks for ends, with a client that is made at the first question.
#[derive(Default)]
pub(super) struct Ends {
    lookup: Option<BaseConsumer<Logs>>,
}

impl Ends {
    pub(super) fn end(&mut self, client: &Client, topic: &str, partition: Partition) -> Result<Offset, Fault> {
        let doing = format!("ask for the end of {topic}/{partition}");
        let (_, end) = self.ask(client, &doing, |lookup| lookup.fetch_watermarks(topic, partition.0 as i32, ASK))?;
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
        let doing = format!("ask where {topic}/{partition} has records of a time");
        let found = self.ask(client, &doing, |lookup| at_time(lookup, topic, partition.0 as i32, time))?;
        Ok(found.map(Offset))
    }

    /// Asks with the client, which is kept for the next question unless this one fails.
    fn ask<T>(
        &mut self,
        client: &Client,
        doing: &str,
        question: impl FnOnce(&BaseConsumer<Logs>) -> KafkaResult<T>,
    ) -> Result<T, Fault> {
        let lookup = self.lookup.take().map_or_else(|| client.lookup_all(), Ok)?;
        let answer = question(&lookup).map_err(|error| asked(doing, &error))?;
        self.lookup = Some(lookup);
        Ok(answer)
    }
}
