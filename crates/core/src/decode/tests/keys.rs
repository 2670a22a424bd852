use super::super::key::{Gathered, KeyReader, KeyTarget, LinkKeys};
use super::super::*;

fn path(text: &str) -> KeyPath {
    Path::parse(text).unwrap().into()
}

fn read(path: KeyPath, ignore_case: bool, value: &str) -> Vec<String> {
    keys(&[path.into()], ignore_case, &[&[value]])
}

/// Returns the keys by one link whose slots find these values.
fn keys(entries: &[KeyEntry], ignore_case: bool, values: &[&[&str]]) -> Vec<String> {
    let reader = KeyReader::new([LinkKeys {
        entries,
        conditions: &[],
        ignore_case,
    }]);
    let mut gathered = Gathered::default();
    reader.begin(&mut gathered);
    for (number, values) in values.iter().enumerate() {
        for value in *values {
            reader.offer(KeyTarget::Value(number), value.as_bytes(), &mut gathered);
        }
    }
    let (found, _) = reader.finish(&mut gathered);
    found
        .into_iter()
        .flat_map(|(_, keys)| keys)
        .map(|key| key.to_string())
        .collect()
}

#[test]
fn a_key_is_the_text_of_a_value() {
    assert_eq!(read(path("x"), false, r#"" AbÉ ""#), [" AbÉ "]);
    assert_eq!(read(path("x"), true, r#"" AbÉ ""#), [" abé "]);
    assert_eq!(read(path("x"), false, "12.0"), ["12.0"]);
    assert_eq!(read(path("x"), false, "true"), ["true"]);
    for none in ["null", r#""""#] {
        assert!(read(path("x"), false, none).is_empty(), "{none}");
    }
    let key = keys(&[path("x").into()], true, &[&[r#""\ud800AbC""#]]);
    assert_eq!(key, ["\u{fffd}\u{fffd}\u{fffd}abc"]);
}

#[test]
fn all_values_of_the_first_entry_that_yields_any_count() {
    let entries = ["a", "b", "c"].map(|text| KeyEntry::from(path(text)));
    let values: [&[&str]; 3] = [&["null"], &[r#""y""#, r#""x""#, r#""y""#], &[r#""z""#]];
    assert_eq!(keys(&entries, false, &values), ["x", "y"]);
    assert_eq!(keys(&entries, false, &[values[0], &[], values[2]]), ["z"]);
}

#[test]
fn a_composite_is_every_combination_of_its_parts() {
    let entries = [KeyEntry::Parts(vec![path("a"), path("b")]), path("c").into()];
    let both: [&[&str]; 3] = [&[r#""a b""#, r#""a""#], &["1", r#""\"""#], &[r#""c""#]];
    assert_eq!(
        keys(&entries, false, &both),
        [r#"["a b","1"]"#, r#"["a b","\""]"#, r#"["a","1"]"#, r#"["a","\""]"#]
    );
    assert_eq!(keys(&entries, false, &[both[0], &[r#""""#], both[2]]), ["c"]);
    let texts = keys(&entries, false, &both);
    let mut in_order = texts.clone();
    in_order.sort();
    assert_eq!(in_order, texts);
}

#[test]
fn too_many_keys_are_cut_to_the_first() {
    let values: Vec<String> = (0..1000).rev().map(|number| format!("\"{number:04}\"")).collect();
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    let single = keys(&[path("a").into()], false, &[&values]);
    assert_eq!(single.len(), MAX_KEYS);
    assert_eq!((single[0].as_str(), single[63].as_str()), ("0000", "0063"));
    let parts = [KeyEntry::Parts(vec![path("a"), path("b"), path("c")])];
    let many = keys(&parts, false, &[&values, &values, &values]);
    assert_eq!(many.len(), MAX_KEYS);
    assert_eq!(many[63], r#"["0000","0000","0063"]"#);
}

#[test]
fn a_link_looks_at_records_that_meet_all_its_conditions() {
    let condition = |name: &str, values: &[&str]| Condition {
        path: Path::new([name]),
        values: values.iter().copied().map(str::to_owned).collect(),
    };
    let conditions = [condition("t", &["a", "b"]), condition("n", &["1"])];
    let coded = KeyPath {
        coding: Coding::Url,
        ..path("x")
    };
    let entries = [KeyEntry::from(coded)];
    let links = [&conditions[..], &[]].map(|conditions| LinkKeys {
        entries: &entries,
        conditions,
        ignore_case: false,
    });
    let reader = KeyReader::new(links);
    let mut gathered = Gathered::default();
    let mut by = |t: &str, n: &str| {
        reader.begin(&mut gathered);
        for (number, value) in [t, n].into_iter().enumerate() {
            reader.offer(KeyTarget::Condition(number), value.as_bytes(), &mut gathered);
        }
        for number in 0..2 {
            reader.offer(KeyTarget::Value(number), br#""%6b""#, &mut gathered);
        }
        let (found, cut) = reader.finish(&mut gathered);
        assert_eq!(cut, 0);
        found.iter().map(|(link, keys)| (link.0, keys.len())).collect::<Vec<_>>()
    };
    assert_eq!(by(r#""b""#, "1"), [(0, 1), (1, 1)]);
    assert_eq!(by(r#""c""#, "1"), [(1, 1)]);
    assert_eq!(by(r#""a""#, "2"), [(1, 1)]);
}

#[test]
fn words_for_nothing_are_told_from_ids() {
    for word in [
        "None",
        "null",
        "NULL",
        "N/A",
        "undefined",
        "-",
        "00000000-0000-0000-0000-000000000000",
    ] {
        assert!(null_word(word.as_bytes()).is_some(), "{word}");
    }
    for id in ["", "none-of-them", "NA", "0", "47b17f11-8bcf-59b6-9caa-b42324e60048"] {
        assert_eq!(null_word(id.as_bytes()), None, "{id}");
    }
}

fn applied(path: &KeyPath, text: &str) -> Option<String> {
    let borrowed = path.apply(Cow::Borrowed(text.as_bytes()));
    let owned = path.apply(Cow::Owned(text.as_bytes().to_vec()));
    assert_eq!(borrowed, owned);
    borrowed.map(|text| String::from_utf8(text.into_owned()).unwrap())
}

fn some_path() -> KeyPath {
    KeyPath::from(Path::new(["a"]))
}

#[test]
fn a_prefix_is_taken_off_where_it_is_there() {
    let strip_prefix = ["dl", "fa"].map(str::to_owned).to_vec();
    let path = KeyPath {
        strip_prefix,
        ..some_path()
    };
    assert_eq!(applied(&path, "dl1").as_deref(), Some("1"));
    assert_eq!(applied(&path, "fadl").as_deref(), Some("dl"));
    assert_eq!(applied(&path, "x").as_deref(), Some("x"));
    assert_eq!(applied(&path, "dl"), None);
    assert_eq!(applied(&path, ""), None);
}

#[test]
fn a_pattern_keeps_its_group_before_anything_else() {
    let path = KeyPath {
        pattern: Some(Pattern::new("^(.+)@").unwrap()),
        strip_prefix: vec!["live.com#".to_owned()],
        ..some_path()
    };
    assert_eq!(applied(&path, "live.com#ann@example.com").as_deref(), Some("ann"));
    assert_eq!(applied(&path, "ann"), None);
    for (wrong, expected) in [("a", "has no group"), ("(a)(b)", "has 2 groups"), ("(", "unclosed group")] {
        let error = Pattern::new(wrong).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn url_encoding_is_undone_where_it_is_whole() {
    let path = KeyPath {
        coding: Coding::Url,
        ..some_path()
    };
    for (text, expected) in [
        ("a%20b+c", "a b+c"),
        ("%C3%A9t%c3%a9", "été"),
        ("100%", "100%"),
        ("%zz%41", "%zzA"),
        ("%2", "%2"),
        ("%ff%41%C3", "%ffA%C3"),
        ("%%41", "%A"),
        ("plain", "plain"),
    ] {
        assert_eq!(applied(&path, text).as_deref(), Some(expected), "{text}");
    }
}
