//! The paths that lead from a row to its values.

use std::fmt;

/// Names of members that lead from a row to values. A string on the way that contains JSON is opened. After a name,
/// `[]` leads to every element of a list or to a single object, and `[Member=value]` leads to those elements whose
/// member has that value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Path(Vec<Segment>);

/// A name in a path, and the part of its value to which the path continues.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Segment {
    /// The name of the member.
    pub name: String,
    /// The elements of a list to which the path continues.
    pub elements: Elements,
}

/// The part of a value to which a path continues.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Elements {
    /// The value itself.
    Whole,
    /// Every element of a list, or a single object.
    Each,
    /// The elements of a list, or a single object, whose member of this name has this value as text.
    With(String, String),
}

/// The reason why a text is not a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PathError {
    /// A name is missing.
    #[error("has an empty name")]
    EmptyName,
    /// A bracket is not closed, or is followed by something other than a dot or the end.
    #[error("has a bracket that is not closed, or not followed by a dot or the end")]
    Bracket,
    /// Brackets are not empty and do not contain a member and its value.
    #[error("has brackets that hold neither nothing nor Member=value")]
    Filter,
}

impl Path {
    /// Creates a path of these names, each of which leads to a whole value.
    pub fn new<S: Into<String>>(names: impl IntoIterator<Item = S>) -> Self {
        let segment = |name: S| Segment {
            name: name.into(),
            elements: Elements::Whole,
        };
        Self(names.into_iter().map(segment).collect())
    }

    /// Parses a path as it is written in a configuration file, such as `Entities[Type=account].AadUserId`.
    ///
    /// # Errors
    ///
    /// Returns a [`PathError`] if a name is empty or brackets are not valid.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        let mut segments = Vec::new();
        let mut rest = Some(text);
        while let Some(text) = rest {
            let end = text.find(['.', '[']).unwrap_or(text.len());
            let (name, behind) = text.split_at(end);
            if name.is_empty() {
                return Err(PathError::EmptyName);
            }
            let (elements, behind) = match behind.strip_prefix('[') {
                Some(inside) => {
                    let (inside, behind) = inside.split_once(']').ok_or(PathError::Bracket)?;
                    (Elements::parse(inside)?, behind)
                }
                None => (Elements::Whole, behind),
            };
            rest = match behind.strip_prefix('.') {
                Some(next) => Some(next),
                None if behind.is_empty() => None,
                None => return Err(PathError::Bracket),
            };
            segments.push(Segment {
                name: name.to_owned(),
                elements,
            });
        }
        Ok(Self(segments))
    }

    /// Returns the segments, outermost first.
    pub fn segments(&self) -> &[Segment] {
        &self.0
    }

    /// Returns the names, outermost first.
    pub fn names(&self) -> Vec<&str> {
        self.0.iter().map(|segment| segment.name.as_str()).collect()
    }
}

impl Elements {
    fn parse(inside: &str) -> Result<Self, PathError> {
        if inside.is_empty() {
            return Ok(Self::Each);
        }
        match inside.split_once('=') {
            Some((member, value)) if !member.is_empty() => Ok(Self::With(member.to_owned(), value.to_owned())),
            _ => Err(PathError::Filter),
        }
    }
}

/// Formats the path as it is written in a configuration file.
impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, segment) in self.0.iter().enumerate() {
            if place > 0 {
                f.write_str(".")?;
            }
            f.write_str(&segment.name)?;
            match &segment.elements {
                Elements::Whole => {}
                Elements::Each => f.write_str("[]")?,
                Elements::With(member, value) => write!(f, "[{member}={value}]")?,
            }
        }
        Ok(())
    }
}

/// Returns the paths of fallbacks as an error message lists them.
pub(super) fn listed(paths: &[Path]) -> String {
    let paths: Vec<String> = paths.iter().map(Path::to_string).collect();
    paths.join(" or ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_read_as_it_is_written() {
        for text in [
            "AlertType",
            "RawEventData.Data.cid",
            "Entities[].AadUserId",
            "Entities[Type=account].Name",
            "A[x=1.5].B[].C",
            "PolicyDetails[].Rules[]",
            "A[Type=]",
        ] {
            assert_eq!(Path::parse(text).unwrap().to_string(), text);
        }
        let path = Path::parse("A[T=v.w].B").unwrap();
        assert_eq!(path.segments()[0].elements, Elements::With("T".to_owned(), "v.w".to_owned()));
        assert_eq!(path.names(), ["A", "B"]);
        assert_eq!(Path::parse("a.b").unwrap(), Path::new(["a", "b"]));
    }

    #[test]
    fn what_is_no_path_is_said() {
        for (text, error) in [
            ("", PathError::EmptyName),
            ("a..b", PathError::EmptyName),
            ("a.", PathError::EmptyName),
            ("[]", PathError::EmptyName),
            ("a[", PathError::Bracket),
            ("a[]b", PathError::Bracket),
            ("a[].", PathError::EmptyName),
            ("a[b]", PathError::Filter),
            ("a[=b]", PathError::Filter),
        ] {
            assert_eq!(Path::parse(text).unwrap_err(), error, "{text}");
        }
    }
}
