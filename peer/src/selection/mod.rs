//! Which files of a share are wanted, as a person says it: globs to include, globs to exclude.
//!
//! Promises the rules of `get --help`, the same for the command line, the local API and a download that is gone on with: a
//! glob without a slash means a name at any depth, one with a slash a path from the shared folder; whatever names a
//! folder means all beneath it; what is excluded stays excluded. Pure: what a selection comes to in one folder is
//! [`Chosen`], and nothing here touches a disk or a network.

mod chosen;

pub use chosen::{Chosen, NothingChosen};

use globset::{GlobBuilder, GlobMatcher};
use p2p_shared::manifest::{FileName, FolderIndex};
use serde::{Deserialize, Serialize};

/// Globs of each kind, at most: each is tried on each of up to a million names.
const MAX_GLOBS: usize = 256;

/// Bytes of one glob, at most: the longest path there is.
const MAX_GLOB: usize = 4096;

/// What is wanted of a share. Nothing said: everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Globs", into = "Globs")]
pub struct Selection {
    /// What is wanted; nothing: everything.
    include: Vec<Pattern>,
    /// What is not wanted of it.
    exclude: Vec<Pattern>,
}

/// A glob that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadGlob {
    /// It cannot be read.
    #[error("the glob {glob:?} cannot be used: {why}")]
    Syntax {
        /// As it was given.
        glob: String,
        /// What is wrong with it.
        why: String,
    },
    /// There are too many.
    #[error("{0} globs are too many, {MAX_GLOBS} of a kind may be given")]
    TooMany(usize),
}

/// One glob.
#[derive(Debug, Clone)]
struct Pattern {
    text: String,
    /// It ended with a slash.
    only_folders: bool,
    matcher: GlobMatcher,
}

/// A selection as it is written down.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Globs {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    include: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    exclude: Vec<String>,
}

impl Selection {
    /// What `include` names (or everything) and `exclude` does not.
    pub fn new<S: AsRef<str>>(include: &[S], exclude: &[S]) -> Result<Self, BadGlob> {
        Ok(Self {
            include: patterns(include)?,
            exclude: patterns(exclude)?,
        })
    }

    /// Whether nothing was said: then the whole share is wanted, as one.
    pub fn is_all(&self) -> bool {
        self.include.is_empty() && self.exclude.is_empty()
    }

    /// What it comes to in a folder. An error if that is nothing, or if a glob to include names nothing.
    pub fn choose(&self, index: &FolderIndex) -> Result<Chosen, NothingChosen> {
        Chosen::of(self, index)
    }

    /// Whether it selects a share that is a single file: by its name. An error says why not.
    pub fn check_file(&self, name: &FileName) -> Result<(), NothingChosen> {
        let named = |pattern: &&Pattern| pattern.names(name.as_str(), false);
        if let Some(unmatched) = self.include.iter().find(|pattern| !named(pattern)) {
            return Err(NothingChosen::Unmatched(unmatched.text.clone()));
        }
        match self.exclude.iter().any(|pattern| named(&pattern)) {
            true => Err(NothingChosen::AllExcluded),
            false => Ok(()),
        }
    }
}

fn patterns<S: AsRef<str>>(globs: &[S]) -> Result<Vec<Pattern>, BadGlob> {
    if globs.len() > MAX_GLOBS {
        return Err(BadGlob::TooMany(globs.len()));
    }
    globs.iter().map(|glob| Pattern::new(glob.as_ref())).collect()
}

impl Pattern {
    fn new(text: &str) -> Result<Self, BadGlob> {
        let bad = |why: String| BadGlob::Syntax {
            glob: text.chars().take(100).collect(),
            why,
        };
        if text.len() > MAX_GLOB {
            return Err(bad(format!("it is longer than {MAX_GLOB} bytes")));
        }
        let named = text.strip_suffix('/').unwrap_or(text);
        let path = named.strip_prefix("./").unwrap_or(named);
        let path = path.strip_prefix('/').unwrap_or(path);
        if path.is_empty() || path == "." {
            return Err(bad("it names nothing".into()));
        }
        let glob = match named.contains('/') {
            true => path.to_owned(),
            false => format!("**/{path}"),
        };
        let glob = GlobBuilder::new(&glob)
            .literal_separator(true)
            .backslash_escape(true)
            .build()
            .map_err(|error| bad(error.kind().to_string()))?;
        Ok(Self {
            text: text.to_owned(),
            only_folders: named.len() < text.len(),
            matcher: glob.compile_matcher(),
        })
    }

    /// Whether it names this very path (not something above it).
    fn names(&self, path: &str, is_folder: bool) -> bool {
        (is_folder || !self.only_folders) && self.matcher.is_match(path)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

impl TryFrom<Globs> for Selection {
    type Error = BadGlob;

    fn try_from(globs: Globs) -> Result<Self, BadGlob> {
        Self::new(&globs.include, &globs.exclude)
    }
}

impl From<Selection> for Globs {
    fn from(selection: Selection) -> Self {
        let texts = |patterns: Vec<Pattern>| patterns.into_iter().map(|pattern| pattern.text).collect();
        Self {
            include: texts(selection.include),
            exclude: texts(selection.exclude),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(glob: &str, path: &str) -> bool {
        Pattern::new(glob).unwrap().names(path, false)
    }

    #[test]
    fn a_glob_without_a_slash_means_a_name_at_any_depth() {
        for path in ["a.pdf", "deep/er/a.pdf", ".hidden.pdf"] {
            assert!(names("*.pdf", path), "{path}");
        }
        assert!(!names("*.pdf", "a.pdf/b"));
        assert!(!names("b", "ab") && !names("b", "x/ab"));
    }

    #[test]
    fn a_glob_with_a_slash_means_a_path_from_the_shared_folder() {
        for glob in ["docs/*.pdf", "/docs/*.pdf", "./docs/*.pdf"] {
            assert!(names(glob, "docs/a.pdf"), "{glob}");
            assert!(!names(glob, "x/docs/a.pdf"), "{glob}");
            assert!(!names(glob, "docs/deep/a.pdf"), "{glob}");
        }
        assert!(names("/a", "a") && !names("/a", "x/a"));
        assert!(names("docs/**/a.pdf", "docs/a.pdf") && names("docs/**/a.pdf", "docs/x/y/a.pdf"));
        assert!(names("**/x/a", "x/a") && names("**/x/a", "y/x/a"));
    }

    #[test]
    fn a_glob_that_ends_with_a_slash_means_folders_only() {
        let pattern = Pattern::new("docs/").unwrap();
        assert!(pattern.names("docs", true) && pattern.names("a/docs", true));
        assert!(!pattern.names("docs", false));
    }

    #[test]
    fn what_is_special_in_a_glob_can_be_escaped_and_case_counts() {
        assert!(names(r"a\*b", "a*b") && !names(r"a\*b", "axb"));
        assert!(names("[[]x[]]", "[x]"));
        assert!(!names("*.PDF", "a.pdf"));
        assert!(names("{a,b}.txt", "b.txt"));
        assert!(names("Grüße 🦀*", "Grüße 🦀.txt"));
    }

    #[test]
    fn a_glob_that_is_none_is_named() {
        for glob in ["[", "{a", "", "/", "a[z-a]", "./"] {
            let error = Selection::new(&[glob], &[]).unwrap_err();
            assert!(error.to_string().contains(&format!("{glob:?}")), "{error}");
        }
        let many = vec!["a"; MAX_GLOBS + 1];
        assert_eq!(Selection::new(&[], &many), Err(BadGlob::TooMany(MAX_GLOBS + 1)));
        assert!(Selection::new(&["a".repeat(MAX_GLOB + 1)], &[]).is_err());
    }

    #[test]
    fn a_selection_reads_back_from_json_and_is_checked_when_read() {
        let selection = Selection::new(&["a", "b/"], &["*.tmp"]).unwrap();
        let json = serde_json::to_string(&selection).unwrap();
        assert_eq!(json, r#"{"include":["a","b/"],"exclude":["*.tmp"]}"#);
        assert_eq!(serde_json::from_str::<Selection>(&json).unwrap(), selection);
        assert!(serde_json::from_str::<Selection>("{}").unwrap().is_all());
        assert!(serde_json::from_str::<Selection>(r#"{"include":["["]}"#).is_err());
    }

    #[test]
    fn a_single_file_is_selected_by_its_name() {
        let name: FileName = "film.mkv".parse().unwrap();
        let check =
            |include: &[&str], exclude: &[&str]| Selection::new(include, exclude).unwrap().check_file(&name);
        for (include, exclude) in [
            (&["*.mkv"][..], &[][..]),
            (&["/film.mkv"], &["*.tmp"]),
            (&[], &[]),
        ] {
            assert_eq!(check(include, exclude), Ok(()));
        }
        let unmatched = Err(NothingChosen::Unmatched("*.iso".into()));
        assert_eq!(check(&["*.mkv", "*.iso"], &[]), unmatched);
        assert_eq!(check(&[], &["film.*"]), Err(NothingChosen::AllExcluded));
        assert!(check(&["film.mkv/"], &[]).is_err(), "it is no folder");
    }
}
