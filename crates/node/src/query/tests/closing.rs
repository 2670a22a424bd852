//! Tests what is shown for an alert while its first revision is being sent.

use super::*;
use crate::query::shapes::Status;

/// Returns a fixture with three activities and an alert that matches them, stopped after the first row.
fn stopped(begin: impl FnOnce(&mut Fixture)) -> Fixture {
    let mut fixture = Fixture::new();
    for hours in [10.25, 10.5, 10.75] {
        fixture.activity("p", hours);
    }
    begin(&mut fixture);
    assert!(fixture.is_at_work());
    fixture
}

/// Returns the revision of the result in the state.
fn revision(fixture: &Fixture) -> u32 {
    let [partition] = fixture.partitions();
    let id = AlertId {
        tenant: Text::default(),
        system_alert_id: "A".into(),
    };
    partition.view.statuses(&id).unwrap()[0].result.clone().unwrap().revision
}

/// Continues one output at a time, and asserts that the alert is shown as open until the summary has been sent.
fn assert_open_until_sent(fixture: &mut Fixture) {
    let mut steps = 0;
    while revision(fixture) == 0 {
        let partitions = fixture.partitions();
        let found = find(&partitions, &fixture.settings, &wanted("A")).unwrap().unwrap();
        let detail = alert(&found, &fixture.settings, Vec::new()).unwrap();
        let item = &detail.item;
        assert_eq!(item.status, Status::Open);
        assert_eq!((item.activity_count, item.late_count, item.revision), (0, 0, 0));
        assert_eq!((&item.closed_by, &item.closed_at, item.complete), (&None, &None, None));
        assert_eq!((&detail.complete_because, &detail.watermark_at_close), (&None, &None));
        let page = activities(&found, &fixture.settings, None, 10).unwrap();
        assert_eq!(
            (page.status, page.activity_count, page.activities.len()),
            (Status::Open, 0, 3)
        );
        for (filter_status, ids) in [
            (StatusFilter::Open, &["A"] as &[&str]),
            (StatusFilter::Closed, &[]),
            (StatusFilter::Matched, &[]),
            (StatusFilter::Unmatched, &[]),
        ] {
            let filter = Filter {
                status: Some(filter_status),
                ..Filter::default()
            };
            assert_eq!(fixture.ids(&filter), ids, "{filter_status:?}");
        }
        assert_eq!(fixture.explain("A").status, Status::Open);
        assert_eq!(fixture.causes("A"), ["being_answered", "versions"]);
        fixture.step(None, ONE);
        steps += 1;
    }
    assert!(steps >= 3, "{steps}");
    let page = fixture.list(&Filter::default(), None, 1);
    let item = &page.alerts[0];
    assert_eq!((item.status, item.activity_count, item.revision), (Status::Matched, 3, 1));
    assert_eq!(fixture.causes("A")[0], "answered");
}

#[test]
fn an_alert_is_open_until_its_first_result_is_sent() {
    let mut fixture = stopped(|fixture| {
        fixture.alert("A", "p", 10.0, 11.0);
        fixture.step(Some(passing(11.0)), ONE);
    });
    assert!(
        fixture
            .explain("A")
            .verdict
            .contains("The watermark has reached the end of its window")
    );
    let offset = fixture.details("A", "being_answered")["offset"].as_i64();
    assert_eq!(
        offset,
        Some(fixture.offset - 1),
        "the offset is that of the watermark update that closed the window"
    );
    assert_open_until_sent(&mut fixture);
}

#[test]
fn a_late_alert_is_open_until_its_first_result_is_sent() {
    let mut fixture = stopped(|fixture| {
        fixture.pass(11.0);
        let window = Window::for_alert(at(10.0), at(11.0), fixture.widening());
        let record = version_record("A", "p", window, at(12.0), "");
        fixture.step(Some(record), ONE);
    });
    assert_open_until_sent(&mut fixture);
}

#[test]
fn an_alert_closed_by_max_wait_is_open_until_its_first_result_is_sent() {
    let mut fixture = stopped(|fixture| {
        fixture.alert("A", "p", 10.0, 11.0);
        let update = watermark_update(12.0, &[(Some(10.6), false), (Some(10.25), false)], 0);
        fixture.step(Some(RepartitionRecord::WatermarkUpdate(update)), ONE);
    });
    assert!(fixture.explain("A").verdict.contains("watermark.max_wait"));
    assert_open_until_sent(&mut fixture);
}

#[test]
fn a_closed_alert_whose_key_changes_is_open_until_its_new_result_is_sent() {
    let mut fixture = stopped(|fixture| {
        fixture.alert("A", "q", 10.0, 11.0);
        fixture.pass(11.0);
        assert_eq!(fixture.list(&Filter::default(), None, 1).alerts[0].status, Status::Unmatched);
        let window = Window::for_alert(at(10.0), at(11.5), fixture.widening());
        let record = version_record("A", "p", window, at(13.0), "");
        fixture.step(Some(record), ONE);
    });
    assert!(fixture.explain("A").verdict.contains("new answer"));
    assert_open_until_sent(&mut fixture);
}
