//! Ages, times and sizes in short words.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The two largest units: `3m 12s`.
pub(crate) fn age(age: Duration) -> String {
    let seconds = age.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match () {
        () if days > 0 => two(days, "d", hours % 24, "h"),
        () if hours > 0 => two(hours, "h", minutes % 60, "m"),
        () if minutes > 0 => two(minutes, "m", seconds % 60, "s"),
        () if seconds > 0 => format!("{seconds}s"),
        () => "<1s".into(),
    }
}

fn two(large: u64, unit: &str, small: u64, small_unit: &str) -> String {
    if small == 0 { format!("{large}{unit}") } else { format!("{large}{unit} {small}{small_unit}") }
}

/// An age that the store may not know.
pub(crate) fn known_age(known: Option<Duration>) -> String {
    known.map_or_else(|| "-".into(), age)
}

/// A size: `132 B`, `4.2 KiB`.
pub(crate) fn size(bytes: u64) -> String {
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    match units.into_iter().find(|(bits, _)| bytes >> bits > 0) {
        Some((bits, unit)) => {
            let tenths = (u128::from(bytes) * 10) >> bits;
            format!("{}.{} {unit}", tenths / 10, tenths % 10)
        }
        None => format!("{bytes} B"),
    }
}

/// A time in UTC: `2026-11-28T14:21:03Z`. A time that is damaged becomes the first or the last one
/// that can be written so.
pub(crate) fn time(time: SystemTime) -> String {
    let last = UNIX_EPOCH + Duration::from_secs(253_402_300_799);
    humantime::format_rfc3339_seconds(time.clamp(UNIX_EPOCH, last)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_has_its_two_largest_units() {
        let shown = |seconds| age(Duration::from_secs(seconds));
        assert_eq!(age(Duration::from_millis(999)), "<1s");
        assert_eq!(shown(1), "1s");
        assert_eq!(shown(59), "59s");
        assert_eq!(shown(60), "1m");
        assert_eq!(shown(192), "3m 12s");
        assert_eq!(shown(3600), "1h");
        assert_eq!(shown(3661), "1h 1m");
        assert_eq!(shown(86399), "23h 59m");
        assert_eq!(shown(3 * 86400 + 4 * 3600 + 59), "3d 4h");
        assert_eq!(known_age(None), "-");
    }

    #[test]
    fn every_time_can_be_shown() {
        let seconds = Duration::from_secs;
        assert_eq!(time(UNIX_EPOCH + seconds(1)), "1970-01-01T00:00:01Z");
        assert_eq!(time(UNIX_EPOCH - seconds(1)), "1970-01-01T00:00:00Z");
        assert_eq!(time(UNIX_EPOCH + seconds(900_000_000_000)), "9999-12-31T23:59:59Z");
    }

    #[test]
    fn a_size_has_one_decimal() {
        let sizes = [0, 1023, 1024, 4300, 1 << 20, 5 << 30];
        assert_eq!(sizes.map(size), ["0 B", "1023 B", "1.0 KiB", "4.1 KiB", "1.0 MiB", "5.0 GiB"]);
    }
}
