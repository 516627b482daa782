//! The price feed: `contracts/dynamic-nft/model/prices.csv`.

use std::fs;

use aiinference_demo_models as models;
use anyhow::{anyhow, Context, Result};

/// A day's closing price.
#[derive(Clone, Debug)]
pub struct Day {
    /// As in `2018-12-31`.
    pub date: String,
    /// When the market closes, as Unix time in seconds.
    pub time: u64,
    /// As it is written.
    pub price: String,
}

impl Day {
    /// For drawing.
    pub fn value(&self) -> f64 {
        self.price.parse().unwrap_or_default()
    }
}

pub fn days() -> Result<Vec<Day>> {
    let path = models::root().join("contracts/dynamic-nft/model/prices.csv");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let day = |line: &str| {
        let (date, price) = line.split_once(',')?;
        Some(Day {
            date: date.to_owned(),
            // 21:00 UTC, when New York closes in winter.
            time: unix_day(date)? * 86_400 + 21 * 3_600,
            price: price.trim().to_owned(),
        })
    };
    let rows = text.lines().skip(1);
    rows.map(|line| day(line).ok_or_else(|| anyhow!("{}: no date and price in `{line}`", path.display())))
        .collect()
}

/// Days since 1970-01-01 of a date of the Gregorian calendar, 1970 or later.
fn unix_day(date: &str) -> Option<u64> {
    let mut parts = date.split('-').map(|part| part.parse::<u64>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    // Years begin in March, so that the leap day is the last one.
    let (year, month) = if month < 3 {
        (year - 1, month + 9)
    } else {
        (year, month - 3)
    };
    let leap_days = year / 4 - year / 100 + year / 400;
    (365 * year + leap_days + (153 * month + 2) / 5 + day - 1).checked_sub(719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_days_since_1970() {
        for (date, day) in [
            ("1970-01-01", 0),
            ("2000-02-29", 11_016),
            ("2000-03-01", 11_017),
            ("2018-12-31", 17_896),
        ] {
            assert_eq!(unix_day(date), Some(day), "{date}");
        }
        assert_eq!(unix_day("2018-12"), None);
    }

    #[test]
    fn the_feed_ascends() {
        let days = days().unwrap();
        assert!(days.len() > 400);
        assert!(days
            .windows(2)
            .all(|pair| pair[0].time < pair[1].time && pair[0].value() > 0.0));
    }
}
