//! A contender while its input comes at an even rate: from when a record was produced until its output is received.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow, bail};
use rdkafka::Offset;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::input::Draws;
use crate::kafka::{Brokers, partitions};
use crate::process::{Contender, cpu, machine_cpu, peak_memory};

/// Between two rounds of producing what is due.
const TICK: Duration = Duration::from_millis(1);

/// How long the outputs of the last inputs are waited for.
const REST: Duration = Duration::from_secs(20);

/// How long the first output is waited for.
const FIRST: Duration = Duration::from_mins(1);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Latency {
    /// The topic that is produced to, of amounts.
    input: String,
    /// The topic that the contender writes to: a record for each of the input's.
    output: String,
    /// Distinct keys.
    keys: u64,
    /// Records a second.
    rate: f64,
    /// Seconds from the first output until it is measured.
    warm: f64,
    /// Seconds that are measured.
    measured: f64,
    /// The broker's process.
    broker: u32,
    command: Vec<String>,
}

#[derive(Clone, Copy)]
struct Used {
    at: Instant,
    contender: f64,
    broker: f64,
    machine: f64,
}

impl Latency {
    pub fn run(&self, brokers: &Brokers) -> Result<Value> {
        let consumer = brokers.consumer()?;
        consumer.assign(&partitions(&consumer, &self.output, Offset::Beginning)?)?;
        let mut contender = Contender::start(&self.command)?;
        let producer = Load::start(brokers, self)?;
        let started = Instant::now();
        let mut received = Received::default();
        while received.count == 0 {
            alive(&mut contender)?;
            if started.elapsed() > FIRST {
                bail!("no output within {} s", FIRST.as_secs());
            }
            received.poll(&consumer)?;
        }
        let first = started.elapsed().as_secs_f64();
        received.until(&consumer, &mut contender, Instant::now() + Duration::from_secs_f64(self.warm))?;
        let before = self.used(&contender);
        received.from = now();
        received.until(&consumer, &mut contender, before.at + Duration::from_secs_f64(self.measured))?;
        let after = self.used(&contender);
        received.to = now();
        let memory = peak_memory(contender.id());
        let sent = producer.stop()?;
        let deadline = Instant::now() + REST;
        while received.count < sent && Instant::now() < deadline {
            received.poll(&consumer)?;
        }
        let mut result = received.quantiles();
        let millions = self.rate * self.measured / 1e6;
        let (cpu, broker) = (after.contender - before.contender, after.broker - before.broker);
        let other = after.machine - before.machine - cpu - broker;
        result["status"] = json!("done");
        result["sent"] = json!(sent);
        result["received"] = json!(received.count);
        result["first_s"] = json!(first);
        result["memory_mib"] = json!(memory);
        result["cpu"] = json!(cpu / millions);
        result["broker_cpu"] = json!(broker / millions);
        result["other_cpu"] = json!(other / after.at.duration_since(before.at).as_secs_f64());
        Ok(result)
    }

    fn used(&self, contender: &Contender) -> Used {
        let (contender, broker) = (cpu(contender.id()), cpu(self.broker));
        Used { at: Instant::now(), contender, broker, machine: machine_cpu() }
    }
}

fn alive(contender: &mut Contender) -> Result<()> {
    match contender.ended()? {
        Some(status) => bail!("the contender ended: {status}"),
        None => Ok(()),
    }
}

/// Milliseconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64() * 1e3
}

/// What came, and how late.
#[derive(Default)]
struct Received {
    count: u64,
    /// Times of production that are measured, in milliseconds since 1970; the end is open until it is known.
    from: f64,
    to: f64,
    /// Time of production and milliseconds until receipt.
    records: Vec<(f64, f64)>,
}

impl Received {
    fn poll(&mut self, consumer: &BaseConsumer) -> Result<()> {
        let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) else { return Ok(()) };
        let produced = message.timestamp().to_millis().context("an output without a time")? as f64;
        self.count += 1;
        self.records.push((produced, now() - produced));
        Ok(())
    }

    fn until(&mut self, consumer: &BaseConsumer, contender: &mut Contender, deadline: Instant) -> Result<()> {
        while Instant::now() < deadline {
            self.poll(consumer)?;
        }
        alive(contender)
    }

    fn quantiles(&self) -> Value {
        let measured = self.records.iter().filter(|(produced, _)| (self.from..self.to).contains(produced));
        let mut late: Vec<f64> = measured.map(|&(_, late)| late).collect();
        late.sort_by(f64::total_cmp);
        let at = |part: f64| late.get(((late.len().max(1) - 1) as f64 * part).round() as usize).copied();
        json!({"measured": late.len(), "p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "p999": at(0.999), "most": at(1.0)})
    }
}

/// A thread that produces.
struct Load {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<u64>>,
}

impl Load {
    fn start(brokers: &Brokers, terms: &Latency) -> Result<Self> {
        let producer: ThreadedProducer<DefaultProducerContext> =
            brokers.client(&[("enable.idempotence", "true"), ("linger.ms", "1"), ("partitioner", "murmur2_random")])?;
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, topic, rate, keys) = (stop.clone(), terms.input.clone(), terms.rate, terms.keys);
        let thread = thread::spawn(move || {
            let (mut draws, mut sent, started) = (Draws(1), 0, Instant::now());
            while !stopped.load(Ordering::Relaxed) {
                while sent < (started.elapsed().as_secs_f64() * rate) as u64 {
                    send(&producer, &topic, draws.below(keys), draws.amount())?;
                    sent += 1;
                }
                thread::sleep(TICK);
            }
            producer.flush(Duration::from_secs(10))?;
            Ok(sent)
        });
        Ok(Self { stop, thread })
    }

    /// Answers how many records were sent.
    fn stop(self) -> Result<u64> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow!("the thread that produces panicked"))?
    }
}

fn send(producer: &ThreadedProducer<DefaultProducerContext>, topic: &str, key: u64, amount: i64) -> Result<()> {
    let mut value = [b'x'; 100];
    value[..8].copy_from_slice(&amount.to_be_bytes());
    let key = key.to_be_bytes();
    let record = BaseRecord::to(topic).key(&key[..]).payload(&value[..]).timestamp(now() as i64);
    producer.send(record).map_err(|(error, _)| anyhow!("write to {topic}: {error}"))
}
