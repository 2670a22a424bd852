//! Tests what is shown for an alert while its first revision is being sent.

use super::*;
use crate::query::shapes::Status;

/// Returns a world with three activities and an alert that contains them, stopped after the first row.
fn stopped(begin: impl FnOnce(&mut World)) -> World {
    let mut world = World::new();
    for hours in [10.25, 10.5, 10.75] {
        world.activity("p", hours);
    }
    begin(&mut world);
    assert!(world.is_at_work());
    world
}

/// Returns the revision of the result in the state.
fn revision(world: &World) -> u32 {
    let [partition] = world.partitions();
    let id = AlertId {
        tenant: Text::default(),
        system_alert_id: "A".into(),
    };
    partition.view.standings(&id).unwrap()[0].answer.clone().unwrap().revision
}

/// Continues one output at a time, and asserts that the alert is shown as open until the summary has been sent.
fn assert_open_until_answered(world: &mut World) {
    let mut steps = 0;
    while revision(world) == 0 {
        let partitions = world.partitions();
        let found = find(&partitions, &world.settings, &wanted("A")).unwrap().unwrap();
        let detail = alert(&found, &world.settings, Vec::new()).unwrap();
        let item = &detail.item;
        assert_eq!(item.status, Status::Open);
        assert_eq!((item.activity_count, item.late_count, item.revision), (0, 0, 0));
        assert_eq!((&item.closed_by, &item.closed_at, item.complete), (&None, &None, None));
        assert_eq!((&detail.complete_because, &detail.watermark_at_close), (&None, &None));
        let page = activities(&found, &world.settings, None, 10).unwrap();
        assert_eq!(
            (page.status, page.activity_count, page.activities.len()),
            (Status::Open, 0, 3)
        );
        for (which, ids) in [
            (Which::Open, &["A"] as &[&str]),
            (Which::Closed, &[]),
            (Which::Matched, &[]),
            (Which::Unmatched, &[]),
        ] {
            let filter = Filter {
                status: Some(which),
                ..Filter::default()
            };
            assert_eq!(world.ids(&filter), ids, "{which:?}");
        }
        assert_eq!(world.explain("A").status, Status::Open);
        assert_eq!(world.causes("A"), ["being_answered", "versions"]);
        world.step(None, ONE);
        steps += 1;
    }
    assert!(steps >= 3, "{steps}");
    let page = world.list(&Filter::default(), None, 1);
    let item = &page.alerts[0];
    assert_eq!((item.status, item.activity_count, item.revision), (Status::Matched, 3, 1));
    assert_eq!(world.causes("A")[0], "answered");
}

#[test]
fn an_alert_is_open_until_its_first_answer_is_out() {
    let mut world = stopped(|world| {
        world.alert("A", "p", 10.0, 11.0);
        world.step(Some(passing(11.0)), ONE);
    });
    assert!(
        world
            .explain("A")
            .verdict
            .contains("The watermark has reached the end of its window")
    );
    let offset = world.details("A", "being_answered")["offset"].as_i64();
    assert_eq!(
        offset,
        Some(world.offset - 1),
        "of the watermark update that closed the window"
    );
    assert_open_until_answered(&mut world);
}

#[test]
fn an_alert_that_comes_late_is_open_until_its_first_answer_is_out() {
    let mut world = stopped(|world| {
        world.pass(11.0);
        let window = Window::of_alert(at(10.0), at(11.0), world.widening());
        let record = version_record("A", "p", window, at(12.0), "");
        world.step(Some(record), ONE);
    });
    assert_open_until_answered(&mut world);
}

#[test]
fn an_alert_that_waited_too_long_is_open_until_its_first_answer_is_out() {
    let mut world = stopped(|world| {
        world.alert("A", "p", 10.0, 11.0);
        let update = watermark_update(12.0, &[(Some(10.6), false), (Some(10.25), false)], 0);
        world.step(Some(LogRecord::WatermarkUpdate(update)), ONE);
    });
    assert!(world.explain("A").verdict.contains("watermark.max_wait"));
    assert_open_until_answered(&mut world);
}

#[test]
fn an_answered_alert_whose_key_changes_is_open_until_its_new_answer_is_out() {
    let mut world = stopped(|world| {
        world.alert("A", "q", 10.0, 11.0);
        world.pass(11.0);
        assert_eq!(world.list(&Filter::default(), None, 1).alerts[0].status, Status::Unmatched);
        let window = Window::of_alert(at(10.0), at(11.5), world.widening());
        let record = version_record("A", "p", window, at(13.0), "");
        world.step(Some(record), ONE);
    });
    assert!(world.explain("A").verdict.contains("new answer"));
    assert_open_until_answered(&mut world);
}
