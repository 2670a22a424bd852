//! Where ROUTE begins in an input partition, and what it does when its next records are gone. This is never silent:
//! ROUTE stops, or it continues with a log message and a counter, as `input.on_lost_offsets` says.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::log_tail::SourcePartition;
use crate::config::{LostOffsets, Start};
use crate::kafka::Error;
use crate::metrics::Metrics;

/// What is known about how far a partition was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Known {
    /// The group has committed this position.
    Committed(i64),
    /// A previous topic of the same name was read up to this position.
    OfAnother(i64),
    /// The group has no position, but according to the log everything before this position was read.
    Logged(i64),
    /// Nothing, but other partitions of the topic were read: this partition was added later.
    Added,
    /// Nothing was read before.
    Nothing,
}

/// Where to begin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Begin {
    /// At this position.
    At(i64),
    /// At this position, although more was read before, because the group has lost its position.
    Again(i64),
    /// At the first record whose timestamp is `input.start` or later.
    ByTime,
    /// The records from this position on have not been read and are gone.
    Lost(i64),
}

/// Decides where to begin in a partition with the first offset `low` and the log-end offset `high`.
pub(super) fn begin(known: Known, start: Start, low: i64, high: i64) -> Begin {
    match (known, start) {
        (Known::OfAnother(position), _) => Begin::Lost(position),
        (Known::Committed(position) | Known::Logged(position), _) if !(low..=high).contains(&position) => Begin::Lost(position),
        (Known::Committed(position), _) => Begin::At(position),
        // Records that are read twice are recognised by their dedup key. Records before such a start were never to be
        // read.
        (Known::Logged(_), Start::Earliest) => Begin::Again(low),
        (Known::Logged(position), Start::Latest | Start::At(_)) => Begin::Again(position),
        (Known::Added, _) | (Known::Nothing, Start::Earliest) => Begin::At(low),
        (Known::Nothing, Start::Latest) => Begin::At(high),
        (Known::Nothing, Start::At(_)) => Begin::ByTime,
    }
}

/// A partition whose unread records from a position on are gone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Lost {
    /// The topic and the partition.
    pub(super) source: SourcePartition,
    /// The next offset to read.
    pub(super) position: i64,
    /// The first offset that exists.
    pub(super) low: i64,
    /// The offset after the last record.
    pub(super) high: i64,
}

/// What to do when positions are gone.
const REMEDY: &str =
    "set input.on_lost_offsets = \"continue\" to continue with the first available record, or use another application.id";

/// Decides where to continue in these partitions, whose next records are gone. `begun` is the number of partitions that
/// were read before. If all of those are affected, the cause is a common one, and it is reported once.
pub(super) fn all_lost(
    lost_ones: &[Lost],
    begun: usize,
    policy: LostOffsets,
    metrics: &Metrics,
) -> Result<Vec<(SourcePartition, i64)>, Error> {
    let are_behind_the_end = lost_ones.iter().all(|lost| lost.position > lost.high);
    if lost_ones.len() < 2 || lost_ones.len() < begun || !are_behind_the_end {
        let each = |found: &Lost| {
            let source = (found.source.0.as_str(), found.source.1);
            let position = lost(source, found.position, (found.low, found.high), policy, metrics)?;
            Ok((found.source.clone(), position))
        };
        return lost_ones.iter().map(each).collect();
    }
    let partitions = lost_ones.len();
    if policy == LostOffsets::Continue {
        tracing::error!(
            partitions,
            "{}; continuing with the first available record of each, because of input.on_lost_offsets",
            lost_everywhere(partitions)
        );
        return Ok(lost_ones.iter().map(|lost| (lost.source.clone(), lost.low)).collect());
    }
    Err(Error::LostEverywhere {
        what: lost_everywhere(partitions),
        way_out: REMEDY,
    })
}

fn lost_everywhere(partitions: usize) -> String {
    format!(
        "all {partitions} input partitions that were read here end before the next position to read: their topics were created again, or kafka.bootstrap_servers now leads to another cluster, for example after a failover of Event Hubs (Geo-DR), which replicates the hubs without their records"
    )
}

/// Handles one partition whose unread records from `position` on are gone; it now begins at `low` and ends at `high`.
/// Returns where to continue, if the settings allow it.
pub(super) fn lost(
    (topic, partition): (&str, i32),
    position: i64,
    (low, high): (i64, i64),
    policy: LostOffsets,
    metrics: &Metrics,
) -> Result<i64, Error> {
    let count = u64::try_from(low - position).unwrap_or(0);
    let lost = match position < low {
        true if count == 1 => format!("the record at offset {position} was removed before it was read"),
        true => format!(
            "the {count} records from {position} to {} were removed before they were read",
            low - 1
        ),
        false if position > high => {
            "the topic was deleted and created again, or lost its newest records; the records after the last one read are gone"
                .to_owned()
        }
        false => "the topic was deleted and created again; the records after the last one read are gone".to_owned(),
    };
    metrics.lost(count);
    if policy == LostOffsets::Continue {
        tracing::error!(
            topic,
            partition,
            position,
            low,
            high,
            "{lost}; continuing at offset {low}, because of input.on_lost_offsets"
        );
        return Ok(low);
    }
    Err(Error::LostOffsets {
        topic: topic.to_owned(),
        partition,
        position,
        low,
        high,
        lost,
        way_out: REMEDY,
    })
}

/// Returns whether the client reports a position outside its partition. The client does not report which partition, and
/// stops reading it.
pub(super) fn is_lost(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emit::Links;
    use crate::time::WallTime;

    const STARTS: [Start; 3] = [Start::Earliest, Start::Latest, Start::At(WallTime(5))];

    #[test]
    fn a_committed_position_counts_regardless_of_input_start() {
        for start in STARTS {
            for position in [10, 15, 20] {
                assert_eq!(begin(Known::Committed(position), start, 10, 20), Begin::At(position));
            }
        }
    }

    #[test]
    fn a_position_outside_the_partition_is_lost() {
        for start in STARTS {
            for position in [9, 21] {
                assert_eq!(begin(Known::Committed(position), start, 10, 20), Begin::Lost(position));
                assert_eq!(begin(Known::Logged(position), start, 10, 20), Begin::Lost(position));
            }
        }
    }

    #[test]
    fn a_position_in_a_recreated_topic_is_always_lost() {
        for start in STARTS {
            for position in [9, 15, 21] {
                assert_eq!(begin(Known::OfAnother(position), start, 10, 20), Begin::Lost(position));
            }
        }
    }

    #[test]
    fn without_a_committed_position_nothing_before_the_first_start_is_read() {
        assert_eq!(begin(Known::Logged(15), Start::Earliest, 10, 20), Begin::Again(10));
        assert_eq!(begin(Known::Logged(15), Start::Latest, 10, 20), Begin::Again(15));
        assert_eq!(begin(Known::Logged(15), STARTS[2], 10, 20), Begin::Again(15));
    }

    #[test]
    fn a_first_start_begins_as_configured_and_an_added_partition_at_its_first_record() {
        assert_eq!(begin(Known::Nothing, Start::Earliest, 10, 20), Begin::At(10));
        assert_eq!(begin(Known::Nothing, Start::Latest, 10, 20), Begin::At(20));
        assert_eq!(begin(Known::Nothing, STARTS[2], 10, 20), Begin::ByTime);
        for start in STARTS {
            assert_eq!(begin(Known::Added, start, 10, 20), Begin::At(10));
        }
    }

    #[test]
    fn a_loss_in_all_partitions_is_reported_once() {
        let lost = |partition, position, low, high| Lost {
            source: ("t".to_owned(), partition),
            position,
            low,
            high,
        };
        let metrics = Metrics::new(Links::query(Default::default())).unwrap();
        let all = [lost(0, 50, 0, 0), lost(1, 60, 0, 3)];
        let error = |lost: &[Lost], begun| all_lost(lost, begun, LostOffsets::Fail, &metrics).unwrap_err().to_string();
        let whole = error(&all, 2);
        assert!(
            whole.starts_with("all 2 input partitions that were read here end before") && whole.contains("Geo-DR"),
            "{whole}"
        );
        assert!(error(&all, 3).starts_with("t/0: "), "one of three is as it was");
        assert!(error(&all[..1], 1).starts_with("t/0: "));
        assert!(
            error(&[lost(0, 1, 5, 9), lost(1, 60, 0, 3)], 2).starts_with("t/0: "),
            "retention is another cause"
        );
        let on = all_lost(&all, 2, LostOffsets::Continue, &metrics).unwrap();
        assert_eq!(on, [(("t".to_owned(), 0), 0), (("t".to_owned(), 1), 0)]);
    }

    #[test]
    fn one_lost_record_is_not_called_several() {
        let metrics = Metrics::new(Links::query(Default::default())).unwrap();
        let one = lost(("t", 3), 9, (10, 20), LostOffsets::Fail, &metrics)
            .unwrap_err()
            .to_string();
        assert!(one.contains("the record at offset 9 was removed before it was read"), "{one}");
    }

    #[test]
    fn the_gap_is_reported_exactly_and_counted() {
        let metrics = Metrics::new(Links::query(Default::default())).unwrap();
        let error = lost(("t", 3), 4, (10, 20), LostOffsets::Fail, &metrics)
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("t/3: "), "{error}");
        assert!(error.contains("the 6 records from 4 to 9 were removed"), "{error}");
        assert!(error.contains("input.on_lost_offsets"), "{error}");
        assert_eq!(lost(("t", 3), 4, (10, 20), LostOffsets::Continue, &metrics).unwrap(), 10);
        let again = lost(("t", 3), 30, (0, 20), LostOffsets::Fail, &metrics)
            .unwrap_err()
            .to_string();
        assert!(again.contains("deleted and created again, or"), "{again}");
        let grown = lost(("t", 3), 15, (0, 20), LostOffsets::Fail, &metrics)
            .unwrap_err()
            .to_string();
        assert!(
            grown.contains("offset 15") && grown.contains("deleted and created again;"),
            "{grown}"
        );
        let text = String::from_utf8(metrics.text().unwrap()).unwrap();
        assert!(text.contains("alerttrail_records_lost_total 12"), "{text}");
    }
}
