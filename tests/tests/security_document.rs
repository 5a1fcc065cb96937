//! `docs/security.md` and `docs/actors.md` promise nothing that no test proves: every test that they name exists.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use p2p_tests::sources::root;

/// The names of tests in a text: words in backquotes with at least three underscores.
fn named(text: &str) -> BTreeSet<&str> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted.filter(|word| is_name(word)).collect()
}

fn is_name(word: &str) -> bool {
    let letters = word
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    letters && word.matches('_').count() >= 3
}

/// The names of all functions in the Rust files below a folder.
fn functions(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path: PathBuf = entry.expect("a directory entry").path();
        if path.is_dir() {
            functions(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text =
                fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let heads = text.split("fn ").skip(1);
            found.extend(
                heads
                    .filter_map(|head| head.split(['(', '<']).next())
                    .map(str::to_owned),
            );
        }
    }
}

#[test]
fn every_test_that_the_documents_name_exists() {
    let mut existing = BTreeSet::new();
    for folder in [
        "shared/src",
        "tracker/src",
        "tracker/tests",
        "peer/src",
        "tests/tests",
        "tests/src",
    ] {
        functions(&root().join(folder), &mut existing);
    }
    for (document, least) in [("docs/security.md", 50), ("docs/actors.md", 20)] {
        let text = fs::read_to_string(root().join(document)).expect(document);
        let named = named(&text);
        assert!(named.len() > least, "{document} names its tests in backquotes");
        let missing: Vec<_> = named
            .into_iter()
            .filter(|name| !existing.contains(*name))
            .collect();
        assert!(
            missing.is_empty(),
            "{document} names what is no test: {missing:#?}"
        );
    }
}

#[test]
fn every_promise_of_the_security_document_names_what_proves_it() {
    let document = fs::read_to_string(root().join("docs/security.md")).expect("docs/security.md");
    let lines = document
        .lines()
        .skip_while(|line| !line.ends_with("| proved by |"));
    let mut promises = 0;
    for line in lines {
        let row = line.starts_with("| ") && !line.ends_with("| proved by |");
        if row && line.matches('|').count() == 3 {
            promises += 1;
            let proof = line.rsplit('|').nth(1).unwrap_or_default();
            assert!(!named(proof).is_empty(), "no test in: {line}");
        }
    }
    assert!(promises > 20, "{promises}");
}
