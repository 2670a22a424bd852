//! Compares the printed output with the output on the page.

use serde_json::Value;

use super::page::Expected;

/// Returns whether `printed` contains the output on the page: text as consecutive lines anywhere in it, JSON as the
/// whole of it. `…` matches anything within a line, and a line that is only `…` matches any lines.
pub(super) fn matches_page(printed: &str, expected: &Expected) -> bool {
    match expected {
        Expected::Text(text) => {
            let pattern: Vec<&str> = text.lines().map(str::trim_end).collect();
            let lines: Vec<&str> = printed.lines().map(str::trim_end).collect();
            (0..=lines.len()).any(|from| begins(&lines[from..], &pattern))
        }
        Expected::Json(text) => fits(&joined(printed), &joined(text)),
        Expected::Members(text) => match (serde_json::from_str(printed), serde_json::from_str(text)) {
            (Ok(printed), Ok(example)) => has_members(&printed, &example),
            _ => false,
        },
    }
}

fn begins(lines: &[&str], pattern: &[&str]) -> bool {
    match pattern {
        [] => true,
        ["…", rest @ ..] => (0..=lines.len()).any(|from| begins(&lines[from..], rest)),
        [first, rest @ ..] => lines
            .split_first()
            .is_some_and(|(line, following)| fits(line, first) && begins(following, rest)),
    }
}

fn joined(text: &str) -> String {
    text.lines().map(str::trim).collect()
}

/// Returns whether a line matches the pattern, in which `…` with the white space around it matches anything.
fn fits(line: &str, pattern: &str) -> bool {
    let pieces: Vec<&str> = pattern.split('…').collect();
    let [first, middle @ .., last] = pieces.as_slice() else {
        return line == pattern;
    };
    let Some(rest) = line.strip_prefix(first.trim_end()) else {
        return false;
    };
    let Some(mut rest) = rest.strip_suffix(last.trim_start()) else {
        return false;
    };
    middle.iter().map(|piece| piece.trim()).all(|piece| {
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
        true
    })
}

/// Returns whether objects have the same members. An object with a member `…` in the example may have more; of lists,
/// the first elements are compared.
fn has_members(printed: &Value, example: &Value) -> bool {
    match (printed, example) {
        (Value::Null, _) | (_, Value::Null) => true,
        (Value::Object(printed), Value::Object(example)) => {
            let is_open = example.contains_key("…");
            let mut named = example.iter().filter(|(name, _)| *name != "…");
            (is_open || printed.keys().all(|name| example.contains_key(name)))
                && named.all(|(name, value)| printed.get(name).is_some_and(|found| has_members(found, value)))
        }
        (Value::Array(printed), Value::Array(example)) => match (printed.first(), example.first()) {
            (Some(printed), Some(example)) => has_members(printed, example),
            _ => true,
        },
        (printed, example) => std::mem::discriminant(printed) == std::mem::discriminant(example),
    }
}
