//! How an entry of the key-value cache is written: `<milliseconds of its end>:<value>`.
//!
//! Spin's store knows no life and Workers' none under a minute, so the end travels with the value and
//! every host honours it when reading.

use iam_core::time::{Duration, Timestamp};

/// The stored form of a value that lives this long.
pub(crate) fn encode(value: &str, now: Timestamp, life_seconds: u32) -> String {
    let end = now.after(Duration::from_seconds(life_seconds.into())).as_millis();
    format!("{end}:{value}")
}

/// The value, unless its life is over or the entry is not ours.
pub(crate) fn decode(stored: &str, now: Timestamp) -> Option<String> {
    let (end, value) = stored.split_once(':')?;
    let end = Timestamp::from_millis(end.parse().ok()?);
    (now < end).then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_lives_until_its_end_and_no_longer() {
        let start = Timestamp::from_millis(1_000_000);
        let stored = encode("a:b", start, 60);
        assert_eq!(decode(&stored, start), Some("a:b".to_owned()));
        assert_eq!(decode(&stored, start.after(Duration::from_millis(59_999))), Some("a:b".to_owned()));
        assert_eq!(decode(&stored, start.after(Duration::from_seconds(60))), None);
    }

    #[test]
    fn an_entry_of_somebody_else_is_no_entry() {
        assert_eq!(decode("no end", Timestamp::from_millis(0)), None);
        assert_eq!(decode("tomorrow:x", Timestamp::from_millis(0)), None);
    }
}
