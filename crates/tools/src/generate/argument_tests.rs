use std::fs::File;
use std::io::Read as _;
use std::time::Duration;

use clap::Parser;

use super::*;

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    args: Args,
}

fn parse(extra: &[&str]) -> Args {
    let line = ["generate", "--output", "out"].iter().chain(extra);
    Command::try_parse_from(line).unwrap().args
}

fn texts(args: &Args) -> [Vec<u8>; 2] {
    ["cloudappevents", "securityalert"].map(|table| {
        let mut text = Vec::new();
        let open = |suffix: &str| File::open(args.output.join(format!("{table}.jsonl{suffix}"))).unwrap();
        match args.compress {
            Compression::None => open("").read_to_end(&mut text).unwrap(),
            Compression::Gz => flate2::read::GzDecoder::new(open(".gz")).read_to_end(&mut text).unwrap(),
            Compression::Zst => zstd::Decoder::new(open(".zst")).unwrap().read_to_end(&mut text).unwrap(),
        };
        text
    })
}

#[test]
fn the_defaults_are_the_librarys() {
    assert_eq!(parse(&[]).options, Options::default());
    let args = parse(&["--start", "2026-03-01T02:30:00.5+02:30", "--span", "1h30m"]);
    assert_eq!(args.options.start.to_string(), "2026-03-01T00:00:00.5000000Z");
    assert_eq!(args.options.span, Duration::from_secs(5_400));
}

#[test]
fn compressed_files_hold_the_same_lines() {
    let dir = tempfile::tempdir().unwrap();
    let mut all = Vec::new();
    for compress in [Compression::None, Compression::Gz, Compression::Zst] {
        let mut args = parse(&["--activities", "200", "--alerts", "10"]);
        args.compress = compress;
        args.output = dir.path().join("new").join("files");
        generate(&args).unwrap();
        all.push(texts(&args));
    }
    assert_eq!(all[0], all[1]);
    assert_eq!(all[0], all[2]);
    assert!(all[0][0].iter().filter(|&&byte| byte == b'\n').count() >= 200);
    let names = std::fs::read_dir(dir.path().join("new/files")).unwrap();
    let mut names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(
        names,
        ["cloudappevents.jsonl.zst", "securityalert.jsonl.zst"],
        "files of earlier runs are removed"
    );
}

#[test]
fn errors_say_what_to_do() {
    let args = parse(&["--keyed-share", "3"]);
    let text = generate(&args).unwrap_err().to_string();
    assert_eq!(text, "nothing was generated: --keyed-share is 3: give a share from 0 to 1");
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut args = parse(&[]);
    args.output = file.path().to_owned();
    let text = generate(&args).unwrap_err().to_string();
    assert!(text.starts_with("cannot write ") && text.ends_with("in --output"), "{text}");
}
