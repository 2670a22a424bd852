use super::Program;

/// The files of all link presets, by the name of the preset.
const PRESETS: [(&str, &str); 2] = [
    ("users", include_str!("../../../config/links/users.toml")),
    ("dlp", include_str!("../../../config/links/dlp.toml")),
];

#[test]
fn cli_check_prints_the_links_of_presets_to_be_copied() {
    for (name, links) in PRESETS {
        let presets = format!("correlation.presets = [{name:?}]\n");
        let program = Program::with(&[("c.toml", &presets)]);
        let check = ["check", "--offline", "--config", "c.toml"];
        let printed = program.run(&check).expect(0).stdout;
        assert!(printed.contains(links), "{printed}");
        let names: Vec<&str> = links.lines().filter_map(|line| line.strip_prefix("name = ")).collect();
        let names = names.join(", ").replace('"', "");
        assert!(printed.contains(&format!("  links        query, {names}\n")), "{printed}");
        let json = program.run(&[&check[..], &["--json"]].concat()).expect(0).stdout;
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["presets"], serde_json::json!({ name: links }));
        // The printed text, copied into a file, is valid and defines the same links.
        let copied = printed.split_once("[[link]]").unwrap().1;
        let end = copied.find("\nThe ").unwrap_or(copied.len());
        program.write("c.toml", format!("[[link]]{}", &copied[..end]).as_bytes());
        let printed = program.run(&check).expect(0).stdout;
        assert!(printed.contains(&format!("  links        query, {names}\n")), "{printed}");
        assert!(!printed.contains("[[link]]"), "{printed}");
    }
}

#[test]
fn cli_check_prints_no_links_if_there_are_none() {
    let program = Program::with(&[("c.toml", "")]);
    let check = ["check", "--offline", "--config", "c.toml"];
    let printed = program.run(&check).expect(0).stdout;
    assert!(!printed.contains("link"), "{printed}");
    let json = program.run(&[&check[..], &["--json"]].concat()).expect(0).stdout;
    assert!(!json.contains("link") && !json.contains("presets"), "{json}");
}
