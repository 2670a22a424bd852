//! The floor: all messages through a consumer, and nothing done with them.

use std::collections::HashSet;
use std::time::Duration;

use alerttrail::clock;
use rdkafka::consumer::Consumer;
use rdkafka::{Message, Offset, TopicPartitionList};
use serde_json::json;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[arg(long)]
    bootstrap: String,
    #[arg(long, num_args = 1.., required = true)]
    topics: Vec<String>,
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
    let (mut messages, mut bytes) = (0_u64, 0_u64);
    while !left.is_empty() {
        let Some(message) = consumer.poll(Duration::from_secs(1)) else {
            continue;
        };
        let message = message.unwrap();
        messages += 1;
        bytes += message.payload_len() as u64;
        if is_last(&left, &message) {
            left.remove(&(message.topic().to_owned(), message.partition(), message.offset()));
        }
    }
    crate::say(&json!({"messages": messages, "bytes": bytes, "seconds": started.elapsed().as_secs_f64()}));
}

/// Without allocating: this is asked for every message.
fn is_last(left: &HashSet<(String, i32, i64)>, message: &impl Message) -> bool {
    left.iter().any(|(topic, partition, offset)| {
        *offset == message.offset() && *partition == message.partition() && topic == message.topic()
    })
}
