//! What is asked of consumer groups, and forgetting them.

use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::Error;
use super::clients::{self, Logged};
use super::topics::TIMEOUT;
use crate::config::Config;

/// A consumer group that the broker knows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Who is in it now, by client id and address. One that was killed counts until its session has timed out.
    pub members: Vec<String>,
}

/// The names of the groups of this application: ROUTE's, whose positions count, and JOIN's, which lag tools read.
pub fn names(config: &Config) -> [String; 2] {
    ["route", "join"].map(|stage| format!("{}-{stage}", config.application.id))
}

/// The group of this name; `None` when the broker has none.
pub fn find(config: &Config, name: &str) -> Result<Option<Group>, Error> {
    let consumer: BaseConsumer<Logged> = clients::plain(config, Logged)?;
    let list = consumer.fetch_group_list(Some(name), TIMEOUT);
    let list = list.map_err(|cause| Error::Unreachable {
        servers: config.kafka.bootstrap_servers.clone(),
        what: format!("the consumer group {name}"),
        cause: cause.to_string(),
    })?;
    let found = list.groups().iter().find(|group| group.name() == name);
    // That is how a broker describes what is not there.
    let found = found.filter(|group| group.state() != "Dead");
    Ok(found.map(|group| Group {
        name: name.to_owned(),
        members: group.members().iter().map(member).collect(),
    }))
}

/// Deletes a group with its committed positions, if it is there. Fails while it has members.
pub fn delete(config: &Config, name: &str) -> Result<(), Error> {
    let failed = |cause: String| Error::Delete {
        what: format!("the consumer group {name}"),
        cause,
        way_out: "stop every instance of the application, check the right to delete groups, and run it again",
    };
    let admin: AdminClient<DefaultClientContext> = clients::plain(config, DefaultClientContext)?;
    let options = AdminOptions::new().request_timeout(Some(TIMEOUT));
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
    // Brokers print an address as Java does.
    format!("{} at {}", member.client_id(), member.client_host().trim_start_matches('/'))
}
