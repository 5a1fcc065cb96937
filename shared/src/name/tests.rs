use super::*;
use crate::testing;
use proptest::prelude::*;

fn name(text: &str) -> Result<FileName, NameError> {
    text.parse()
}

fn path(text: &str) -> Result<RelativePath, NameError> {
    text.parse()
}

#[test]
fn ordinary_and_odd_names_are_accepted() {
    for text in [
        "a",
        "report.pdf",
        ".hidden",
        "..hidden",
        "...x",
        "with space",
        " leading",
        "-rf",
        "~",
        "$HOME",
        "*?<>|\"'",
        "Größe.txt",
        "日本語",
        "👩‍👩‍👧.png",
        "e\u{301}",
        "\u{202e}gpj.exe",
        // Other systems cannot store these as they are; here they are names like any other.
        "trailing.",
        "trailing ",
        "12:30",
        "Maildir:2,S",
        // Look like devices and are none.
        "con1",
        "com",
        "com10",
        "com0",
        "lpt.txt",
        "console",
        "nul-and-more",
        "xcon.txt",
        "a.con",
        "aux-file.c",
    ] {
        let accepted = name(text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
        assert_eq!(accepted.as_str(), text);
    }
}

#[test]
fn names_that_could_mean_another_place_are_refused() {
    let dots = |name: &str| NameError::Dots { name: name.into() };
    let drive = |name: &str| NameError::Drive { name: name.into() };
    let character = |name: &str, found| NameError::Character {
        name: name.into(),
        found,
    };
    for (text, why) in [
        ("", NameError::Empty),
        (".", dots(".")),
        ("..", dots("..")),
        ("...", dots("...")),
        (".. ", dots(".. ")),
        (". .", dots(". .")),
        (" ", dots(" ")),
        ("a/b", character("a/b", '/')),
        ("/", character("/", '/')),
        ("../x", character("../x", '/')),
        ("a\\b", character("a\\b", '\\')),
        ("..\\x", character("..\\x", '\\')),
        ("\\\\server\\share", character("\\\\server\\share", '\\')),
        ("C:\\x", character("C:\\x", '\\')),
        ("a:b", drive("a:b")),
        ("Z:", drive("Z:")),
        ("a\0b", character("a\0b", '\0')),
        ("a\x1b[2Jb", character("a\x1b[2Jb", '\x1b')),
        ("a\nb", character("a\nb", '\n')),
        ("a\rb", character("a\rb", '\r')),
        ("a\tb", character("a\tb", '\t')),
        ("a\x7f", character("a\x7f", '\x7f')),
        ("a\u{9b}31m", character("a\u{9b}31m", '\u{9b}')),
    ] {
        assert_eq!(name(text), Err(why), "{text:?}");
    }
}

#[test]
fn devices_of_windows_are_refused_with_or_without_an_extension() {
    for text in [
        "CON",
        "con",
        "Con.txt",
        "con.tar.gz",
        "CON ",
        "con .txt",
        "con:",
        "nul:x.txt",
        "PRN",
        "AUX",
        "aux.c",
        "NUL",
        "COM1",
        "com9.log",
        "LPT1",
        "lpt9",
        "COM¹",
        "com².txt",
        "LPT³",
        "CONIN$",
        "conout$",
    ] {
        assert_eq!(name(text), Err(NameError::Device { name: text.into() }));
        let inside = format!("a/{text}/b");
        assert_eq!(path(&inside), Err(NameError::Device { name: text.into() }));
    }
}

#[test]
fn a_name_has_at_most_255_bytes_however_many_characters() {
    assert!(name(&"a".repeat(255)).is_ok());
    assert_eq!(name(&"a".repeat(256)), Err(NameError::TooLong { length: 256 }));
    assert!(name(&"é".repeat(127)).is_ok());
    assert_eq!(name(&"é".repeat(128)), Err(NameError::TooLong { length: 256 }));
}

#[test]
fn bytes_that_are_no_text_are_refused_and_shown_escaped() {
    let error = FileName::from_bytes(b"a\xff\x1b").unwrap_err();
    assert_eq!(error.to_string(), "a name is not UTF-8: a\\xff\\x1b");
    assert!(RelativePath::from_bytes(b"a/\xff").is_err());
    assert_eq!(FileName::from_bytes("é".as_bytes()), name("é"));
}

#[test]
fn paths_stay_below_the_shared_folder() {
    for text in ["a", "a/b", "a/b/c.txt", "..a/b..", "a b/é"] {
        assert_eq!(path(text).unwrap().as_str(), text);
    }
    for (text, why) in [
        ("", NameError::Empty),
        ("/", NameError::Absolute),
        ("/abs", NameError::Absolute),
        ("//server/share", NameError::Absolute),
        ("a/", NameError::Empty),
        ("a//b", NameError::Empty),
        ("../x", NameError::Dots { name: "..".into() }),
        ("a/../../b", NameError::Dots { name: "..".into() }),
        ("a/./b", NameError::Dots { name: ".".into() }),
        ("a/..", NameError::Dots { name: "..".into() }),
        ("C:/x", NameError::Drive { name: "C:".into() }),
        ("a/C:/x", NameError::Drive { name: "C:".into() }),
    ] {
        assert_eq!(path(text), Err(why), "{text:?}");
    }
    assert!(matches!(
        path("a\\..\\..\\b"),
        Err(NameError::Character { found: '\\', .. })
    ));
    assert!(matches!(
        path("a/b\0"),
        Err(NameError::Character { found: '\0', .. })
    ));
}

#[test]
fn paths_are_bounded_in_depth_and_length() {
    assert!(path(&vec!["a"; 32].join("/")).is_ok());
    assert_eq!(path(&vec!["a"; 33].join("/")), Err(NameError::TooDeep));
    let long = vec!["a".repeat(255); 16].join("/");
    assert_eq!(long.len(), 4095);
    assert!(path(&long).is_ok());
    let longer = format!("{long}/b");
    assert_eq!(path(&longer), Err(NameError::PathTooLong { length: 4097 }));
    assert_eq!(
        RelativePath::from_bytes(&vec![0xff; 5_000]),
        Err(NameError::PathTooLong { length: 5_000 })
    );
}

#[test]
fn a_path_knows_its_parts() {
    let deep = path("a/b/c").unwrap();
    assert_eq!(deep.components().collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!((deep.parent(), deep.name()), (Some("a/b"), "c"));
    let top = RelativePath::from(name("a").unwrap());
    assert_eq!((top.parent(), top.name()), (None, "a"));
    assert_eq!(top.join(&name("b").unwrap()), path("a/b"));
    let full = path(&vec!["a".repeat(255); 16].join("/")).unwrap();
    assert!(full.join(&name("b").unwrap()).is_err());
}

#[test]
fn what_could_deceive_is_shown_escaped() {
    for (text, shown) in [
        ("plain é 日本", "plain é 日本"),
        ("\u{202e}gpj.exe", "\\u{202e}gpj.exe"),
        ("zero\u{200b}width", "zero\\u{200b}width"),
        ("\u{feff}bom", "\\u{feff}bom"),
        ("two\u{2028}lines", "two\\u{2028}lines"),
        ("isolate\u{2066}", "isolate\\u{2066}"),
        ("tag\u{e0041}", "tag\\u{e0041}"),
    ] {
        assert_eq!(name(text).unwrap().to_string(), shown);
        assert_eq!(format!("{:?}", name(text).unwrap()), format!("\"{shown}\""));
        assert_eq!(
            format!("a/{text}").parse::<RelativePath>().unwrap().to_string(),
            format!("a/{shown}")
        );
    }
}

#[test]
fn an_error_never_repeats_raw_control_characters() {
    for text in ["a\x1b[31m", "\u{9b}31m", "a\nb", "x\u{202e}\\y", "..\0"] {
        let shown = name(text).unwrap_err().to_string();
        assert!(
            !shown.chars().any(|c| c.is_control() || c == '\u{202e}'),
            "{shown:?}"
        );
    }
}

#[test]
fn names_in_json_are_themselves_and_checked_when_read() {
    let odd = name("\u{202e}gpj.exe").unwrap();
    let json = serde_json::to_string(&odd).unwrap();
    assert_eq!(json, "\"\u{202e}gpj.exe\"");
    assert_eq!(serde_json::from_str::<FileName>(&json).unwrap(), odd);
    assert!(serde_json::from_str::<FileName>("\"../x\"").is_err());
    assert!(serde_json::from_str::<RelativePath>("\"a/../../x\"").is_err());
    assert!(serde_json::from_str::<FileName>("\"a\\u0000b\"").is_err());
}

proptest! {
    #[test]
    fn whatever_is_accepted_stays_inside(text in "(\\PC|[./\\\\: \\x00-\\x1f]){0,40}") {
        use std::path::{Component, Path};
        if let Ok(name) = name(&text) {
            let components: Vec<_> = Path::new(name.as_str()).components().collect();
            prop_assert_eq!(components, [Component::Normal(text.as_ref())]);
        }
        if let Ok(path) = path(&text) {
            prop_assert!(Path::new(path.as_str()).components().all(|part| matches!(part, Component::Normal(_))));
            prop_assert!(path.components().all(|part| name(part).is_ok()));
        }
    }

    #[test]
    fn paths_read_back(path in testing::relative_path()) {
        prop_assert_eq!(RelativePath::from_bytes(path.as_str().as_bytes()), Ok(path.clone()));
        let json = serde_json::to_string(&path).unwrap();
        prop_assert_eq!(serde_json::from_str::<RelativePath>(&json).unwrap(), path);
    }
}
