//! Tests lists: their filters, their pages and the fields that they show.

use super::*;

#[test]
fn alerts_are_listed_the_latest_first_and_page_by_page() {
    let mut fixture = Fixture::new();
    for (id, generated) in [("A", 12.0), ("B", 14.0), ("C", 13.0), ("D", 14.0)] {
        fixture.version(id, "p", 10.0, 11.0, generated, "");
    }
    let all = Filter::default();
    assert_eq!(fixture.ids(&all), ["D", "B", "C", "A"]);
    let mut paged = Vec::new();
    let mut cursor = None;
    loop {
        let page = fixture.list(&all, cursor.as_deref(), 3);
        paged.extend(page.alerts.into_iter().map(|item| item.system_alert_id));
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(paged, ["D", "B", "C", "A"]);
    assert!(matches!(
        list(&fixture.partitions(), &fixture.settings, &all, Some("00"), 3),
        Err(Error::Cursor)
    ));
}

#[test]
fn a_request_examines_a_bounded_number_of_alerts_and_the_next_continues() {
    let mut fixture = Fixture::new();
    for number in 0..5_010 {
        fixture.version(&format!("A{number:04}"), "p", 10.0, 11.0, 12.0, "");
    }
    let filter = Filter {
        text: Some("a0003".into()),
        ..Filter::default()
    };
    let page = fixture.list(&filter, None, 50);
    assert_eq!((page.alerts.len(), page.examined), (0, 5_000));
    let page = fixture.list(&filter, page.next_cursor.as_deref(), 50);
    assert_eq!(page.alerts.len(), 1);
    assert_eq!(page.next_cursor, None);
}

#[test]
fn filters_exclude_alerts_that_do_not_match() {
    let mut fixture = Fixture::new();
    fixture.activity("p", 10.5);
    fixture.version(
        "A",
        "p",
        10.0,
        11.0,
        11.5,
        r#""AlertName":"Stra\u00dfe","AlertSeverity":"High""#,
    );
    fixture.version(
        "B",
        "q",
        10.0,
        11.2,
        12.0,
        r#""Entities":[{"Name":"megan"}],"AlertSeverity":"low""#,
    );
    fixture.version("C", "q", 14.0, 15.0, 15.5, "");
    fixture.pass(12.0);
    let with = |change: &dyn Fn(&mut Filter)| {
        let mut filter = Filter::default();
        change(&mut filter);
        fixture.ids(&filter)
    };
    assert_eq!(with(&|filter| filter.status = Some(StatusFilter::Open)), ["C"]);
    assert_eq!(with(&|filter| filter.status = Some(StatusFilter::Closed)), ["B", "A"]);
    assert_eq!(with(&|filter| filter.status = Some(StatusFilter::Matched)), ["A"]);
    assert_eq!(with(&|filter| filter.status = Some(StatusFilter::Unmatched)), ["B"]);
    assert_eq!(with(&|filter| filter.severity = Some("LOW".into())), ["B"]);
    assert_eq!(with(&|filter| filter.text = Some("straße".into())), ["A"]);
    assert_eq!(with(&|filter| filter.text = Some("MEGAN".into())), ["B"]);
    assert_eq!(with(&|filter| filter.from = Some(at(12.0))), ["C", "B"]);
    assert_eq!(with(&|filter| filter.to = Some(at(12.0))), ["A"]);
    let in_window = |filter: &mut Filter| {
        filter.by_window = true;
        (filter.from, filter.to) = (Some(at(11.1)), Some(at(14.0)));
    };
    assert_eq!(with(&in_window), ["B"]);
}

#[test]
fn an_alert_and_its_activities_are_returned_unchanged() {
    let mut fixture = Fixture::new();
    for hours in [10.5, 10.25, 10.75] {
        fixture.activity("p", hours);
    }
    fixture.version("A", "p", 10.0, 11.0, 12.0, r#""x":1.50e1,"Lone":"\ud800""#);
    fixture.pass(11.0);
    fixture.activity("p", 10.6);
    let partitions = fixture.partitions();
    let found = find(&partitions, &fixture.settings, &wanted("A")).unwrap().unwrap();
    let detail = alert(&found, &fixture.settings, Vec::new()).unwrap();
    assert_eq!(detail.alert.get(), r#"{"x":1.50e1,"Lone":"\ud800"}"#);
    assert_eq!(
        (detail.item.activity_count, detail.item.late_count, detail.item.partition),
        (4, 1, 3)
    );
    assert_eq!(detail.complete_because.as_deref(), Some("passed_by_activities"));
    let first = activities(&found, &fixture.settings, None, 3).unwrap();
    let second = activities(&found, &fixture.settings, first.next_cursor.as_deref(), 3).unwrap();
    let all: Vec<_> = first.activities.iter().chain(&second.activities).collect();
    let times: Vec<String> = all
        .iter()
        .map(|item| item.activity_time.to_string()[11..16].to_owned())
        .collect();
    assert_eq!(times, ["10:15", "10:30", "10:36", "10:45"]);
    let late: Vec<bool> = all.iter().map(|item| item.late).collect();
    assert_eq!(late, [false, false, true, false]);
    assert_eq!(all[0].activity.get(), r#"{"n":2,"digits":1.50}"#);
    assert_eq!(second.next_cursor, None);
    // The details survive the transfer to another instance unchanged.
    let text = serde_json::to_string(&detail).unwrap();
    let again: shapes::AlertDetail = serde_json::from_str(&text).unwrap();
    assert_eq!(serde_json::to_string(&again).unwrap(), text);
}

#[test]
fn pages_of_several_instances_are_merged() {
    let fixtures: Vec<Fixture> = (0..2)
        .map(|instance| {
            let mut fixture = Fixture::new();
            for number in 0..4 {
                let generated = f64::from(12 + 2 * number + instance);
                fixture.version(&format!("A{instance}{number}"), "p", 10.0, 11.0, generated, "");
            }
            fixture
        })
        .collect();
    let filter = Filter::default();
    let mut ids = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let pages = fixtures
            .iter()
            .map(|fixture| fixture.list(&filter, cursor.as_deref(), 3))
            .collect();
        let page = merge_lists(pages, 3).unwrap();
        ids.extend(page.alerts.into_iter().map(|item| item.system_alert_id));
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(ids, ["A13", "A03", "A12", "A02", "A11", "A01", "A10", "A00"]);
}

fn of_tenant(id: &str, tenant: &str) -> Wanted {
    Wanted {
        tenant_id: Some(tenant.to_owned()),
        ..wanted(id)
    }
}

#[test]
fn an_id_of_two_tenants_is_ambiguous_without_a_tenant() {
    let mut fixture = Fixture::new();
    fixture.settings.tenants = vec!["t1".into(), "t2".into()];
    for tenant in ["t1", "t2"] {
        let window = Window::for_alert(at(10.0), at(11.0), fixture.widening());
        let RepartitionRecord::Alert(mut version) = version_record("A", "p", window, at(12.0), "") else {
            panic!("another record")
        };
        version.id.tenant = tenant.into();
        fixture.apply(RepartitionRecord::Alert(version));
    }
    let partitions = fixture.partitions();
    assert!(matches!(
        find(&partitions, &fixture.settings, &wanted("A")),
        Err(Error::Ambiguous { count: 2 })
    ));
    let found = find(&partitions, &fixture.settings, &of_tenant("A", "T2")).unwrap().unwrap();
    assert_eq!(
        alert(&found, &fixture.settings, Vec::new())
            .unwrap()
            .item
            .tenant_id
            .as_deref(),
        Some("t2")
    );
}

#[test]
fn a_tenant_is_refused_if_none_are_configured() {
    let mut fixture = Fixture::new();
    fixture.alert("A", "p", 10.0, 11.0);
    let partitions = fixture.partitions();
    let filter = Filter {
        tenant_id: Some("t1".into()),
        ..Filter::default()
    };
    assert!(matches!(
        list(&partitions, &fixture.settings, &filter, None, 3),
        Err(Error::NoTenants)
    ));
    for id in ["A", "no such alert"] {
        assert!(matches!(
            find(&partitions, &fixture.settings, &of_tenant(id, "t1")),
            Err(Error::NoTenants)
        ));
    }
}
