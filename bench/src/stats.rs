//! Percentiles, medians, and tables of them.

use std::time::Duration;

/// The value that `percent` of the samples do not exceed (nearest rank).
#[must_use]
pub fn percentile(samples: &[Duration], percent: f64) -> Duration {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied().unwrap_or_default()
}

/// The middle one of the rounds' figures.
#[must_use]
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        len if len % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

/// A figure over several rounds, as `median (least - greatest)`.
#[must_use]
pub fn spread(values: &[f64], decimals: usize) -> String {
    let (least, greatest) = range(values);
    format!("{:.decimals$} ({least:.decimals$} - {greatest:.decimals$})", median(values))
}

/// The least and the greatest of the rounds' figures.
#[must_use]
pub fn range(values: &[f64]) -> (f64, f64) {
    values
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(least, greatest), value| (least.min(*value), greatest.max(*value)))
}

/// Welch's t: how far apart two means are, in units of what chance would make of it.
#[must_use]
pub fn welch_t(first: &[f64], second: &[f64]) -> f64 {
    let (first, second) = (Moments::of(first), Moments::of(second));
    (first.mean - second.mean) / (first.variance / first.count + second.variance / second.count).sqrt()
}

struct Moments {
    count: f64,
    mean: f64,
    variance: f64,
}

impl Moments {
    fn of(values: &[f64]) -> Self {
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0);
        Self { count, mean, variance }
    }
}

#[must_use]
pub fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Lines up the rows of a Markdown table.
#[must_use]
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|c| c.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or_default()).collect();
    let line = |cells: &mut dyn Iterator<Item = String>| format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "));
    let mut table = String::new();
    for (at, row) in rows.iter().enumerate() {
        let cell = |(column, width): (usize, &usize)| {
            let text = row.get(column).map_or("", String::as_str);
            format!("{text}{}", " ".repeat(width - text.chars().count()))
        };
        table += &line(&mut widths.iter().enumerate().map(cell));
        if at == 0 {
            table += &line(&mut widths.iter().map(|width| "-".repeat(*width)));
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let samples: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(percentile(&samples, 50.0), Duration::from_millis(100));
        assert_eq!(percentile(&samples, 99.0), Duration::from_millis(198));
        assert_eq!(percentile(&samples, 100.0), Duration::from_millis(200));
        assert_eq!(percentile(&samples[..1], 99.0), Duration::from_millis(1));
        assert_eq!(percentile(&[], 99.0), Duration::ZERO);
    }

    #[test]
    fn means_that_differ_by_more_than_chance_are_told_apart() {
        let around = |mean: f64| (0..1000).map(|at| mean + f64::from(at % 7)).collect::<Vec<f64>>();
        assert!(welch_t(&around(10.0), &around(10.0)).abs() < 0.01);
        assert!(welch_t(&around(10.0), &around(11.0)) < -10.0);
    }

    #[test]
    fn medians_lie_in_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(spread(&[3.0, 1.0, 2.0], 1), "2.0 (1.0 - 3.0)");
    }
}
