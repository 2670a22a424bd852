//! Requests information about consumer groups, and deletes them.

use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::Error;
use super::clients::{self, Logged, REQUEST_TIMEOUT};
use crate::config::Config;

/// A consumer group that the broker knows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConsumerGroup {
    /// Its name.
    pub name: String,
    /// Its current members, as client id and address. A process that was killed counts until its session times out.
    pub members: Vec<String>,
}

/// Returns the names of this application's groups: that of ROUTE, which resumes at its positions, and that of JOIN,
/// whose positions lag tools read.
pub fn names(config: &Config) -> [String; 2] {
    ["route", "join"].map(|stage| format!("{}-{stage}", config.application.id))
}

/// Returns the group of this name, or `None` if the broker has none.
pub fn find(config: &Config, name: &str) -> Result<Option<ConsumerGroup>, Error> {
    let consumer: BaseConsumer<Logged> = clients::admin(config, Logged)?;
    let list = consumer.fetch_group_list(Some(name), REQUEST_TIMEOUT);
    let list = list.map_err(|cause| Error::Unreachable {
        servers: config.kafka.bootstrap_servers.clone(),
        what: format!("the consumer group {name}"),
        cause: cause.to_string(),
    })?;
    let found = list.groups().iter().find(|group| group.name() == name);
    // A broker describes a group that does not exist as dead.
    let found = found.filter(|group| group.state() != "Dead");
    Ok(found.map(|group| ConsumerGroup {
        name: name.to_owned(),
        members: group.members().iter().map(member).collect(),
    }))
}

/// Deletes a group with its committed positions, if it exists. Fails while it has members.
pub fn delete(config: &Config, name: &str) -> Result<(), Error> {
    let failed = |cause: String| Error::Delete {
        what: format!("the consumer group {name}"),
        cause,
        way_out: "stop every instance of the application, check the permission to delete groups, and run it again",
    };
    let admin: AdminClient<DefaultClientContext> = clients::admin(config, DefaultClientContext)?;
    let options = AdminOptions::new().request_timeout(Some(REQUEST_TIMEOUT));
    let results = super::block_on(admin.delete_groups(&[name], &options))?;
    for result in results.map_err(|error: KafkaError| failed(error.to_string()))? {
        match result {
            Ok(_) | Err((_, RDKafkaErrorCode::GroupIdNotFound)) => {}
            Err((_, code)) => return Err(failed(code.to_string())),
        }
    }
    Ok(())
}

fn member(member: &rdkafka::groups::GroupMemberInfo) -> String {
    // Brokers print an address in the format of Java.
    format!("{} at {}", member.client_id(), member.client_host().trim_start_matches('/'))
}
