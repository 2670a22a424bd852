//! Loads files into topics. The bytes of a message are those of its line, and its number determines its partition, so
//! that every contender reads the same.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, DeliveryResult, NoCustomPartitioner, Producer, ProducerContext, ThreadedProducer};
use serde_json::json;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[arg(long)]
    bootstrap: String,
    #[arg(long)]
    topic: String,
    #[arg(long)]
    file: PathBuf,
    #[arg(long, default_value_t = 4)]
    partitions: u64,
}

#[derive(Clone, Default)]
struct Counter {
    delivered: Arc<AtomicU64>,
}

impl ClientContext for Counter {}

impl ProducerContext for Counter {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if result.is_ok() {
            self.delivered.fetch_add(1, Ordering::Relaxed);
        }
    }
}

pub(crate) fn run(args: &Args) {
    let counter = Counter::default();
    let producer: ThreadedProducer<Counter, NoCustomPartitioner> = crate::client(&args.bootstrap)
        .set("enable.idempotence", "true")
        .set("linger.ms", "20")
        .set("batch.size", "1000000")
        .set("queue.buffering.max.kbytes", "131072")
        .create_with_context(counter.clone())
        .unwrap();
    let mut file = BufReader::with_capacity(1 << 20, File::open(&args.file).unwrap());
    let (mut line, mut sent, mut bytes) = (Vec::new(), 0_u64, 0_u64);
    loop {
        line.clear();
        if file.read_until(b'\n', &mut line).unwrap() == 0 {
            break;
        }
        let message = line.strip_suffix(b"\n").unwrap_or(&line);
        let partition = i32::try_from(sent % args.partitions).unwrap();
        send(&producer, &args.topic, partition, message);
        sent += 1;
        bytes += message.len() as u64;
    }
    producer.flush(Duration::from_secs(60)).unwrap();
    let delivered = counter.delivered.load(Ordering::Relaxed);
    assert_eq!(delivered, sent, "not every message reached {}", args.topic);
    crate::print_line(&json!({"messages": sent, "bytes": bytes}));
}

fn send(producer: &ThreadedProducer<Counter, NoCustomPartitioner>, topic: &str, partition: i32, message: &[u8]) {
    let mut record = BaseRecord::<(), [u8]>::to(topic).partition(partition).payload(message);
    loop {
        match producer.send(record) {
            Ok(()) => return,
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                record = back;
                std::thread::sleep(Duration::from_millis(2));
            }
            Err((error, _)) => panic!("{error}"),
        }
    }
}
