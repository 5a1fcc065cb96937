//! Byte ranges (RFC 9110 section 14). Pure.
//!
//! One range a request. Several, another unit or nonsense count as no range, as the RFC allows: the answer is then the
//! whole content.

use std::ops::Range;

/// What a `Range` header comes to for content of a certain length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Everything.
    Whole,
    /// These bytes, of which there is at least one.
    Part(Range<u64>),
    /// Nothing that exists.
    Nothing,
}

/// Reads a `Range` header for content of `length` bytes.
pub(crate) fn wanted(header: Option<&str>, length: u64) -> Wanted {
    header.and_then(parse).map_or(Wanted::Whole, |range| match range {
        Spec::From(start, last) => {
            let end = last.map_or(length, |last| last.saturating_add(1).min(length));
            part(start, end)
        }
        Spec::Last(count) => part(length.saturating_sub(count), length),
    })
}

fn part(start: u64, end: u64) -> Wanted {
    if start < end {
        Wanted::Part(start..end)
    } else {
        Wanted::Nothing
    }
}

enum Spec {
    /// From a byte on, up to and with another or to the end.
    From(u64, Option<u64>),
    /// So many bytes at the end.
    Last(u64),
}

fn parse(header: &str) -> Option<Spec> {
    let (unit, spec) = header.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (first, last) = spec.trim().split_once('-')?;
    match (first, last) {
        ("", count) => Some(Spec::Last(number(count)?)),
        (first, "") => Some(Spec::From(number(first)?, None)),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some(Spec::From(first, Some(last)))
        }
    }
}

/// Digits only: `parse` alone would take a sign.
fn number(text: &str) -> Option<u64> {
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_cut_to_the_content() {
        for (header, expected) in [
            ("bytes=0-9", Wanted::Part(0..10)),
            ("bytes=90-", Wanted::Part(90..100)),
            ("bytes=90-1000", Wanted::Part(90..100)),
            ("bytes=99-99", Wanted::Part(99..100)),
            ("bytes=-10", Wanted::Part(90..100)),
            ("bytes=-1000", Wanted::Part(0..100)),
            ("Bytes = 0-0", Wanted::Part(0..1)),
            ("bytes=0-18446744073709551615", Wanted::Part(0..100)),
        ] {
            assert_eq!(wanted(Some(header), 100), expected, "{header}");
        }
    }

    #[test]
    fn a_range_outside_of_the_content_is_nothing() {
        for header in ["bytes=100-", "bytes=100-200", "bytes=-0"] {
            assert_eq!(wanted(Some(header), 100), Wanted::Nothing, "{header}");
        }
        assert_eq!(wanted(Some("bytes=0-"), 0), Wanted::Nothing);
    }

    #[test]
    fn what_is_no_range_is_the_whole_content() {
        for header in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "bytes=5-4",
            "bytes=0-1,3-4",
            "lines=0-1",
            "bytes=+1-2",
            "bytes=99999999999999999999-",
        ] {
            assert_eq!(wanted(Some(header), 100), Wanted::Whole, "{header}");
        }
        assert_eq!(wanted(None, 100), Wanted::Whole);
    }
}
