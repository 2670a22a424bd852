//! Topics that exist for one run.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[arg(long)]
    bootstrap: String,
    /// Topics to create
    #[arg(long, num_args = 1..)]
    create: Vec<String>,
    #[arg(long, default_value_t = 4)]
    partitions: i32,
    /// Deletes the topics with this prefix
    #[arg(long)]
    delete: Option<String>,
}

pub(crate) fn run(args: &Args) {
    let admin: AdminClient<DefaultClientContext> = crate::client(&args.bootstrap).create().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(30)));
    let new = |name| {
        NewTopic::new(name, args.partitions, TopicReplication::Fixed(1))
            // Recorded traffic has old timestamps, by which retention would delete it at once.
            .set("retention.ms", "-1")
    };
    let new: Vec<_> = args.create.iter().map(|name| new(name)).collect();
    let mut failed: Vec<String> = Vec::new();
    if !new.is_empty() {
        let results = runtime.block_on(admin.create_topics(&new, &options)).unwrap();
        failed.extend(results.into_iter().filter_map(|result| Some(format!("{:?}", result.err()?))));
    }
    if let Some(prefix) = &args.delete {
        let metadata = admin.inner().fetch_metadata(None, Duration::from_secs(10)).unwrap();
        let names = metadata.topics().iter().map(|topic| topic.name());
        let old: Vec<&str> = names.filter(|name| name.starts_with(prefix)).collect();
        if !old.is_empty() {
            let results = runtime.block_on(admin.delete_topics(&old, &options)).unwrap();
            failed.extend(results.into_iter().filter_map(|result| Some(format!("{:?}", result.err()?))));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join(", "));
}
