//! Names from outside: one path component ([`FileName`]) and a path below a shared folder ([`RelativePath`]).
//!
//! Parsing is validating: whoever holds one of these may create the file below an opened folder. A name may be
//! anything that Linux can store, as UTF-8, but what could mean another place than itself on some machine:
//!
//! - `.` and `..`, separators of either kind, NUL, a drive (`C:`), names of only dots and spaces (Windows drops those,
//!   so that `.. ` is `..` there);
//! - device names of Windows with or without an extension (`con`, `com1.log`): they open the device;
//! - control characters: they act on terminals and logs.
//!
//! Accepted, as harm is limited to the name itself: other characters that Windows cannot store (`?`, `*`, `:`, a dot or
//! space at the end) and names that some file systems take for the same (`README`/`readme`, composed and
//! decomposed accents). Refusing them would make ordinary Linux folders unshareable; a receiver that cannot store
//! one gets an error from its own file system. What could deceive a reader (text direction, zero width) is
//! accepted and always shown escaped.

mod escape;
#[cfg(test)]
mod tests;

use escape::Escaped;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::{fmt, str::FromStr};

/// Most bytes of a name: the limit of Linux file systems (NAME_MAX).
pub const MAX_NAME: usize = 255;
/// Most bytes of a path: PATH_MAX of Linux.
pub const MAX_PATH: usize = 4096;
/// Most components of a path. Deeper folders occur in no ordinary tree, and each level costs the receiver an open folder.
pub const MAX_DEPTH: usize = 32;

/// Why a name or a path was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing at all, or nothing between two slashes, or a slash at the beginning or the end.
    #[error("a name is empty")]
    Empty,
    /// More than [`MAX_NAME`] bytes.
    #[error("a name has {length} bytes, more than {MAX_NAME}")]
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// A path of more than [`MAX_PATH`] bytes.
    #[error("a path has {length} bytes, more than {MAX_PATH}")]
    PathTooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// A path of more than [`MAX_DEPTH`] components.
    #[error("a path is more than {MAX_DEPTH} folders deep")]
    TooDeep,
    /// A path that does not begin below the shared folder.
    #[error("a path begins with a slash")]
    Absolute,
    /// Bytes that are no UTF-8.
    #[error("a name is not UTF-8: {}", name.escape_ascii())]
    NotUtf8 {
        /// The bytes.
        name: Vec<u8>,
    },
    /// `.`, `..`, or what Windows makes of it.
    #[error("{:?} consists of dots and spaces alone", Escaped(name))]
    Dots {
        /// The name.
        name: String,
    },
    /// A separator, NUL, or a control character.
    #[error("{:?} contains {}, which a name must not", Escaped(name), found.escape_unicode())]
    Character {
        /// The name.
        name: String,
        /// The first such character.
        found: char,
    },
    /// A drive of Windows.
    #[error("{:?} begins with a drive", Escaped(name))]
    Drive {
        /// The name.
        name: String,
    },
    /// A device of Windows.
    #[error("{:?} is a device on Windows", Escaped(name))]
    Device {
        /// The name.
        name: String,
    },
}

/// One validated path component. `Display` escapes what could deceive; [`FileName::as_str`] is the name itself.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileName(String);

/// A validated path below a shared folder, components separated by `/`; compared by bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelativePath(String);

impl FileName {
    /// The name, unescaped.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// From the bytes of a directory entry.
    pub fn from_bytes(name: &[u8]) -> Result<Self, NameError> {
        utf8(name)?.parse()
    }
}

impl FromStr for FileName {
    type Err = NameError;
    fn from_str(name: &str) -> Result<Self, NameError> {
        check_component(name)?;
        Ok(Self(name.into()))
    }
}

impl RelativePath {
    /// The path, unescaped.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// From the bytes of a path.
    pub fn from_bytes(path: &[u8]) -> Result<Self, NameError> {
        // Before its text is looked at: a path from outside is of any length.
        check_path_length(path.len())?;
        utf8(path)?.parse()
    }

    /// Its components, outermost first; there is at least one.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/')
    }

    /// The folder that it lies in, if that is not the shared folder itself.
    pub fn parent(&self) -> Option<&str> {
        self.0.rsplit_once('/').map(|(parent, _)| parent)
    }

    /// The last component.
    pub fn name(&self) -> &str {
        self.0.rsplit_once('/').map_or(&self.0, |(_, name)| name)
    }

    /// The path of `name` in this folder.
    pub fn join(&self, name: &FileName) -> Result<Self, NameError> {
        format!("{}/{}", self.0, name.0).parse()
    }
}

impl From<FileName> for RelativePath {
    fn from(name: FileName) -> Self {
        Self(name.0)
    }
}

impl FromStr for RelativePath {
    type Err = NameError;
    fn from_str(path: &str) -> Result<Self, NameError> {
        check_path_length(path.len())?;
        if path.starts_with('/') {
            return Err(NameError::Absolute);
        }
        if path.split('/').count() > MAX_DEPTH {
            return Err(NameError::TooDeep);
        }
        path.split('/').try_for_each(check_component)?;
        Ok(Self(path.into()))
    }
}

fn utf8(bytes: &[u8]) -> Result<&str, NameError> {
    std::str::from_utf8(bytes).map_err(|_| NameError::NotUtf8 { name: bytes.into() })
}

fn check_path_length(length: usize) -> Result<(), NameError> {
    if length > MAX_PATH {
        return Err(NameError::PathTooLong { length });
    }
    Ok(())
}

fn check_component(name: &str) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if name.len() > MAX_NAME {
        return Err(NameError::TooLong { length: name.len() });
    }
    if let Some(found) = name.chars().find(|&c| c == '/' || c == '\\' || c.is_control()) {
        return Err(NameError::Character {
            name: name.into(),
            found,
        });
    }
    if name.chars().all(|c| c == '.' || c == ' ') {
        return Err(NameError::Dots { name: name.into() });
    }
    if matches!(name.as_bytes(), [letter, b':', ..] if letter.is_ascii_alphabetic()) {
        return Err(NameError::Drive { name: name.into() });
    }
    if is_device(name) {
        return Err(NameError::Device { name: name.into() });
    }
    Ok(())
}

/// Whether Windows would open a device for this name: what stands before the first dot or colon counts, without
/// spaces at its end, in either case ("Naming Files, Paths, and Namespaces", learn.microsoft.com).
fn is_device(name: &str) -> bool {
    let stem = name
        .split(['.', ':'])
        .next()
        .unwrap_or(name)
        .trim_end_matches(' ');
    let stem = stem.to_ascii_uppercase();
    match stem.as_str() {
        "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$" => true,
        _ => stem
            .strip_prefix("COM")
            .or_else(|| stem.strip_prefix("LPT"))
            .is_some_and(|port| {
                matches!(
                    port,
                    "1" | "2" | "3" | "4" | "5" | "6" | "7" | "8" | "9" | "¹" | "²" | "³"
                )
            }),
    }
}

/// What both kinds of name have in common: shown escaped, written down as they are, read with their check.
macro_rules! as_text {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                Escaped(&self.0).fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&Escaped(&self.0), f)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<std::path::Path> for $name {
            fn as_ref(&self) -> &std::path::Path {
                self.0.as_ref()
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(D::Error::custom)
            }
        }
    };
}

as_text!(FileName);
as_text!(RelativePath);
