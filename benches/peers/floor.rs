//! The floor: reads all messages with a consumer, and does nothing with them. With `--through`, messages with a key
//! also go unchanged through another topic. This is the cost of every join that brings equal keys together by a topic,
//! without the join itself.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use alerttrail::clock;
use memchr::memmem;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, NoCustomPartitioner, Producer, ThreadedProducer};
use rdkafka::{Message, Offset, TopicPartitionList};
use serde_json::json;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[arg(long)]
    bootstrap: String,
    #[arg(long, num_args = 1.., required = true)]
    topics: Vec<String>,
    /// A topic through which messages with a key are sent
    #[arg(long)]
    through: Option<String>,
}

pub(crate) fn run(args: &Args) {
    let started = clock::start();
    let consumer = crate::consumer(&args.bootstrap);
    let mut list = TopicPartitionList::new();
    let mut left = HashSet::new();
    for topic in &args.topics {
        for partition in crate::partitions(&consumer, topic) {
            list.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
            let (low, high) = consumer.fetch_watermarks(topic, partition, Duration::from_secs(10)).unwrap();
            if low < high {
                left.insert((topic.clone(), partition, high - 1));
            }
        }
    }
    consumer.assign(&list).unwrap();
    let through = args.through.as_ref().map(|topic| Through::new(&args.bootstrap, topic));
    let (mut messages, mut bytes) = (0_u64, 0_u64);
    while !left.is_empty() {
        let Some(message) = consumer.poll(Duration::from_secs(1)) else {
            continue;
        };
        let message = message.unwrap();
        messages += 1;
        bytes += message.payload_len() as u64;
        if let Some(through) = &through
            && let Some(payload) = message.payload().filter(|payload| has_key(payload))
        {
            through.send(payload);
        }
        if is_last(&left, &message) {
            left.remove(&(message.topic().to_owned(), message.partition(), message.offset()));
        }
    }
    let repartitioned = through.map_or(0, Through::end);
    crate::print_line(&json!({
        "messages": messages, "bytes": bytes, "repartitioned": repartitioned, "seconds": started.elapsed().as_secs_f64()
    }));
}

/// Returns whether a message has a correlation id: a `cid` that is not empty, inside or outside a string of JSON.
fn has_key(message: &[u8]) -> bool {
    memmem::find_iter(message, b"cid").any(|at| {
        let mut following = message[at + 3..].iter().copied().skip_while(|byte| *byte == b'\\');
        let is_key = following.next() == Some(b'"') && following.next() == Some(b':');
        let mut following = following.skip_while(|byte| *byte == b'\\');
        is_key && following.next() == Some(b'"') && !matches!(following.next(), None | Some(b'"' | b'\\'))
    })
}

/// A topic that is written and then read.
struct Through {
    topic: String,
    producer: ThreadedProducer<rdkafka::producer::DefaultProducerContext, NoCustomPartitioner>,
    sent: AtomicU64,
    /// The number of records to read; the maximum number until it is known.
    expected: Arc<AtomicU64>,
    reader: thread::JoinHandle<u64>,
}

impl Through {
    fn new(bootstrap: &str, topic: &str) -> Self {
        let consumer = crate::consumer(bootstrap);
        let mut list = TopicPartitionList::new();
        for partition in crate::partitions(&consumer, topic) {
            list.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
        }
        consumer.assign(&list).unwrap();
        let expected = Arc::new(AtomicU64::new(u64::MAX));
        let producer = crate::client(bootstrap)
            .set("enable.idempotence", "true")
            .set("linger.ms", "2")
            .set("batch.size", "1000000")
            .create()
            .unwrap();
        let known = Arc::clone(&expected);
        Self {
            topic: topic.to_owned(),
            producer,
            sent: AtomicU64::new(0),
            expected,
            reader: thread::spawn(move || read(&consumer, &known)),
        }
    }

    /// Sends the message to the partitions in turn.
    fn send(&self, payload: &[u8]) {
        let number = self.sent.fetch_add(1, Ordering::Relaxed);
        let partition = i32::try_from(number % 4).unwrap();
        let mut record = BaseRecord::<(), [u8]>::to(&self.topic).partition(partition).payload(payload);
        loop {
            match self.producer.send(record) {
                Ok(()) => return,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    record = back;
                    thread::sleep(Duration::from_millis(2));
                }
                Err((error, _)) => panic!("{error}"),
            }
        }
    }

    /// Returns the number of messages that went through.
    fn end(self) -> u64 {
        self.producer.flush(Duration::from_secs(60)).unwrap();
        self.expected.store(self.sent.load(Ordering::Relaxed), Ordering::Relaxed);
        self.reader.join().unwrap()
    }
}

fn read(consumer: &BaseConsumer, expected: &AtomicU64) -> u64 {
    let mut read = 0;
    while read < expected.load(Ordering::Relaxed) {
        if let Some(message) = consumer.poll(Duration::from_millis(50)) {
            message.unwrap();
            read += 1;
        }
    }
    read
}

/// Does not allocate, because it is called for every message.
fn is_last(left: &HashSet<(String, i32, i64)>, message: &impl Message) -> bool {
    left.iter().any(|(topic, partition, offset)| {
        *offset == message.offset() && *partition == message.partition() && topic == message.topic()
    })
}
