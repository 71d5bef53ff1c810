//! Numbers by contestant and name, and what can be said of several of the same.

use std::collections::BTreeMap;

#[derive(Default)]
pub(crate) struct Figures {
    values: BTreeMap<(&'static str, String), Vec<f64>>,
}

/// Several measurements of one thing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Summary {
    pub(crate) median: f64,
    /// Half the distance between the quartiles, as a share of the median.
    pub(crate) spread: f64,
}

impl Figures {
    pub(crate) fn add(&mut self, contestant: &'static str, name: &str, value: f64) {
        self.values.entry((contestant, name.into())).or_default().push(value);
    }

    /// Returns the summary of what was measured, if anything was.
    pub(crate) fn of(&self, contestant: &'static str, name: &str) -> Option<Summary> {
        self.values.get(&(contestant, name.into())).and_then(|values| summary(values))
    }

    /// Returns the median of the rounds' ratios of one contestant to another: rounds are what they share.
    pub(crate) fn ratio(&self, contestant: &'static str, to: &'static str, name: &str) -> Option<f64> {
        let of = |who| self.values.get(&(who, name.to_owned()));
        let ratios: Vec<f64> =
            of(contestant)?.iter().zip(of(to)?).filter(|(_, b)| **b > 0.0).map(|(a, b)| a / b).collect();
        summary(&ratios).map(|summary| summary.median)
    }
}

fn summary(values: &[f64]) -> Option<Summary> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |share: f64| -> Option<f64> {
        let place = share * (sorted.len().checked_sub(1)? as f64);
        let (low, high) = (sorted.get(place.floor() as usize)?, sorted.get(place.ceil() as usize)?);
        Some(low + (high - low) * place.fract())
    };
    let median = at(0.5)?;
    let spread = if median > 0.0 { (at(0.75)? - at(0.25)?) / 2.0 / median } else { 0.0 };
    Some(Summary { median, spread })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_and_spread_of_few_values() {
        assert_eq!(summary(&[]), None);
        assert_eq!(summary(&[7.0]), Some(Summary { median: 7.0, spread: 0.0 }));
        assert_eq!(summary(&[4.0, 1.0, 2.0, 3.0, 100.0]), Some(Summary { median: 3.0, spread: 1.0 / 3.0 }));
    }

    #[test]
    fn ratio_compares_within_rounds() {
        let mut figures = Figures::default();
        for (a, b) in [(2.0, 1.0), (40.0, 20.0), (6.0, 2.0)] {
            figures.add("a", "n", a);
            figures.add("b", "n", b);
        }
        assert_eq!(figures.ratio("a", "b", "n"), Some(2.0));
        assert_eq!(figures.ratio("a", "c", "n"), None);
    }
}
