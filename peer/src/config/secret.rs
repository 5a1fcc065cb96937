//! The API key: comes from the environment or from a file, is never shown.

use crate::error::Failure;
use std::{ffi::OsString, fmt, io::Read as _, path::Path};

/// Longer than any key that a tracker makes; a file that is longer is no key file.
const MAX_KEY: usize = 512;

/// What a tracker wants to see as `X-API-Key`. Never appears in logs or errors.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

impl ApiKey {
    /// The key in `variable` (the value of `P2P_API_KEY`), or in `file`, or none.
    ///
    /// Both at once, an unreadable file, or text that can be no key are usage errors.
    pub fn find(variable: Option<OsString>, file: Option<&Path>) -> Result<Option<Self>, Failure> {
        match (variable.filter(|value| !value.is_empty()), file) {
            (None, None) => Ok(None),
            (Some(_), Some(file)) => Err(Failure::usage(format!(
                "P2P_API_KEY is set, and so is the key file {}; give one of them",
                file.display()
            ))),
            (Some(value), None) => Self::parse("P2P_API_KEY", value.as_encoded_bytes()).map(Some),
            (None, Some(file)) => Self::read(file).map(Some),
        }
    }

    /// The header value.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    fn read(file: &Path) -> Result<Self, Failure> {
        let mut bytes = Vec::new();
        std::fs::File::open(file)
            .and_then(|opened| opened.take(MAX_KEY as u64 + 2).read_to_end(&mut bytes))
            .map_err(|error| {
                Failure::usage(format!(
                    "cannot read the API key file {}: {error}",
                    file.display()
                ))
            })?;
        Self::parse(&format!("the API key file {}", file.display()), &bytes)
    }

    fn parse(source: &str, bytes: &[u8]) -> Result<Self, Failure> {
        let key = bytes.trim_ascii();
        let what = match key {
            [] => "is empty",
            _ if key.len() > MAX_KEY => "is too long for a key",
            _ if !key.iter().all(u8::is_ascii_graphic) => "holds more than one line of printable characters",
            _ => return Ok(Self(String::from_utf8_lossy(key).into_owned())),
        };
        Err(Failure::usage(format!("{source} {what}")))
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(content: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        file
    }

    #[test]
    fn a_key_comes_from_the_environment_or_from_a_file_without_its_newline() {
        let from_env = ApiKey::find(Some("k1".into()), None).unwrap().unwrap();
        assert_eq!(from_env.reveal(), "k1");
        let from_file = ApiKey::find(None, Some(file(b"k2\n").path())).unwrap().unwrap();
        assert_eq!(from_file.reveal(), "k2");
        assert_eq!(ApiKey::find(Some("".into()), None), Ok(None));
    }

    #[test]
    fn two_sources_are_refused() {
        let failure = ApiKey::find(Some("k1".into()), Some(Path::new("/key"))).unwrap_err();
        assert_eq!(failure.exit_code(), 2);
        assert!(failure.message.contains("give one of them"));
    }

    #[test]
    fn what_can_be_no_key_is_refused_without_showing_it() {
        for content in [
            &b"  \n"[..],
            b"two words",
            b"a\nb",
            &[b'x'; MAX_KEY + 1],
            b"\xff\xfe",
        ] {
            let failure = ApiKey::find(None, Some(file(content).path())).unwrap_err();
            assert_eq!(failure.exit_code(), 2);
            assert!(!failure.message.contains("words"), "{failure}");
        }
    }

    #[test]
    fn a_key_file_that_is_not_there_is_named() {
        let failure = ApiKey::find(None, Some(Path::new("/nowhere/key"))).unwrap_err();
        assert_eq!(failure.exit_code(), 2);
        assert!(failure.message.contains("/nowhere/key"));
    }

    #[test]
    fn a_key_is_not_shown_in_debug_output() {
        let key = ApiKey::find(Some("hunter2".into()), None).unwrap();
        assert!(!format!("{key:?}").contains("hunter2"));
    }
}
