//! Figures and tables as people read them.

use std::time::Duration;

/// `1.5 MiB`, `17 B`: binary units, at most one decimal.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    // 1023.95 would be shown as 1024.0.
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// `1.5 MiB/s`.
pub(super) fn rate(bytes_per_second: u64) -> String {
    format!("{}/s", size(bytes_per_second))
}

/// `45 %`; 100 only when nothing is missing.
pub(super) fn percent(part: u64, whole: u64) -> String {
    let percent = match whole {
        0 => 100,
        whole => u128::from(part) * 100 / u128::from(whole),
    };
    format!("{percent} %")
}

/// `9 s`, `3 min 20 s`, `2 h 05 min`.
pub(super) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// Columns as wide as what is in them; `right` says which columns are aligned to the right. The last column is not
/// padded.
pub(super) fn table(rows: &[Vec<String>], right: &[bool]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let lines = rows.iter().map(|row| {
        let cells = row.iter().enumerate().map(|(column, cell)| {
            let width = widths[column];
            match right.get(column) {
                Some(true) => format!("{cell:>width$}"),
                _ if column + 1 == columns => cell.clone(),
                _ => format!("{cell:<width$}"),
            }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_the_largest_unit_that_fits() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1_048_575, "1.0 MiB"),
            (1_610_612_736, "1.5 GiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn a_hundred_percent_is_only_said_when_nothing_is_missing() {
        assert_eq!(percent(9_999, 10_000), "99 %");
        assert_eq!(percent(10_000, 10_000), "100 %");
        assert_eq!(percent(0, 0), "100 %");
        assert_eq!(percent(u64::MAX / 2, u64::MAX), "49 %");
    }

    #[test]
    fn durations_have_two_units_at_most() {
        for (seconds, text) in [(9, "9 s"), (200, "3 min 20 s"), (7500, "2 h 05 min")] {
            assert_eq!(duration(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn a_table_lines_up() {
        let rows = [
            vec!["a".into(), "1".into(), "x".into()],
            vec!["bcd".into(), "100".into(), "yz".into()],
        ];
        assert_eq!(table(&rows, &[false, true]), "a      1  x\nbcd  100  yz");
    }
}
