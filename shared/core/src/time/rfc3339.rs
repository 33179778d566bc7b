//! RFC 3339 section 5.6, in the years 0000 to 9999: what a module needs of a calendar. A calendar library is
//! 25 KB in every module (gzipped); this is held against one in the tests.

use super::TimeError;

const DAY: i64 = 86_400;

/// The first and the last second that has a form: 0000-01-01T00:00:00Z and 9999-12-31T23:59:59Z.
const FIRST: i64 = -62_167_219_200;
const LAST: i64 = 253_402_300_799;

/// A moment in UTC with `Z`; its milliseconds where there are some. Outside the years 0000 to 9999 the
/// nearest moment that has a form.
#[must_use]
pub fn format(milliseconds: i64) -> String {
    let seconds = milliseconds.div_euclid(1000);
    let (seconds, fraction) = match seconds {
        FIRST..=LAST => (seconds, milliseconds.rem_euclid(1000)),
        _ => (seconds.clamp(FIRST, LAST), 0),
    };
    let (year, month, day) = civil(seconds.div_euclid(DAY));
    let second = seconds.rem_euclid(DAY);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let mut text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
    if fraction != 0 {
        text.push_str(format!(".{fraction:03}").trim_end_matches('0'));
    }
    text.push('Z');
    text
}

/// The milliseconds since the epoch of a moment in any offset. A fraction beyond milliseconds is cut off, a
/// leap second is the second before it.
pub(super) fn parse(text: &str) -> Result<i64, TimeError> {
    read(text.as_bytes()).ok_or(TimeError("not an RFC 3339 date and time"))
}

fn read(text: &[u8]) -> Option<i64> {
    let (date_time, rest) = text.split_at_checked(19)?;
    let separators = [(4, "-"), (7, "-"), (10, "Tt"), (13, ":"), (16, ":")];
    let separated = separators
        .iter()
        .all(|(at, allowed)| date_time.get(*at).is_some_and(|byte| allowed.as_bytes().contains(byte)));
    let number = |from: usize, to: usize| digits(date_time.get(from..to)?);
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let days = days(year, month, day);
    // A day that its month has not comes back as another one.
    let exists = (1..=12).contains(&month) && civil(days) == (year, month, day);
    if !separated || !exists || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (milliseconds, rest) = fraction(rest)?;
    let seconds = days * DAY + hour * 3600 + minute * 60 + second.min(59) - offset(rest)?;
    (FIRST..=LAST).contains(&seconds).then_some(seconds * 1000 + milliseconds)
}

/// The milliseconds of `.123456`, and what follows.
fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let Some(rest) = text.strip_prefix(b".") else { return Some((0, text)) };
    let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (fraction, rest) =
        rest.split_at_checked(length).filter(|(fraction, _)| (1..=9).contains(&fraction.len()))?;
    let milliseconds = fraction.iter().chain(b"00").take(3).copied().collect::<Vec<u8>>();
    Some((digits(&milliseconds)?, rest))
}

/// The seconds of `Z` or `+01:30`.
fn offset(text: &[u8]) -> Option<i64> {
    let (sign, rest) = match text {
        b"Z" | b"z" => return Some(0),
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = (digits(rest.get(0..2)?)?, digits(rest.get(3..)?)?);
    let is_offset = rest.len() == 5 && rest.get(2) == Some(&b':') && hours <= 23 && minutes <= 59;
    is_offset.then_some(sign * (hours * 3600 + minutes * 60))
}

fn digits(text: &[u8]) -> Option<i64> {
    let value = |number: i64, byte: &u8| byte.is_ascii_digit().then(|| number * 10 + i64::from(byte - b'0'));
    text.iter().try_fold(0, value)
}

/// The date of a day since the epoch. Years are counted from March, so that the leap day is their last; an
/// era is the 400 years after which the calendar repeats itself.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// The day since the epoch of a date: the inverse of [`civil`].
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let march_month = (month + 9).rem_euclid(12);
    let day_of_year = (153 * march_month + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_rfc() {
        // Section 5.8.
        assert_eq!(parse("1985-04-12T23:20:50.52Z").map(format), Ok("1985-04-12T23:20:50.52Z".to_owned()));
        assert_eq!(parse("1996-12-19T16:39:57-08:00").map(format), Ok("1996-12-20T00:39:57Z".to_owned()));
        assert_eq!(parse("1990-12-31T23:59:60Z").map(format), Ok("1990-12-31T23:59:59Z".to_owned()));
        assert_eq!(
            parse("1937-01-01T12:00:27.87+00:20").map(format),
            Ok("1937-01-01T11:40:27.87Z".to_owned())
        );
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for text in [
            "",
            "2025-01-16",
            "2025-01-16T10:30:00",
            "2025-02-29T00:00:00Z",
            "2025-13-01T00:00:00Z",
            "2025-00-01T00:00:00Z",
            "2025-01-00T00:00:00Z",
            "2025-01-16T24:00:00Z",
            "2025-01-16T10:60:00Z",
            "2025-01-16T10:30:61Z",
            "2025-01-16T10:30:00.Z",
            "2025-01-16T10:30:00+1:00",
            "2025-01-16T10:30:00+01:000",
            "2025-01-16T10:30:00+24:00",
            "2025-01-16 10:30:00Z",
            "2025-01-16T10:30:00Zé",
            "0000-01-01T00:00:00+01:00",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_calendar_library_agrees(milliseconds in FIRST * 1000..LAST * 1000) {
            let theirs = jiff::Timestamp::from_millisecond(milliseconds).unwrap().to_string();
            proptest::prop_assert_eq!(&format(milliseconds), &theirs);
            proptest::prop_assert_eq!(parse(&theirs), Ok(milliseconds));
        }

        #[test]
        fn a_calendar_library_agrees_on_texts(
            text in "[2-9][0-9]{3}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9](\\.[0-9]{1,9})?\
                     (Z|[+-][01][0-9]:[0-5][0-9])"
        ) {
            if let (Ok(ours), Ok(theirs)) = (parse(&text), text.parse::<jiff::Timestamp>()) {
                proptest::prop_assert_eq!(ours, theirs.as_millisecond());
            }
        }

        #[test]
        fn foreign_text_never_panics(text in ".{0,40}", number: i64) {
            let _ = parse(&text);
            proptest::prop_assert!(format(number).ends_with('Z'));
        }
    }
}
