//! Figures of repeated runs.

/// One figure, once per run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Runs(Vec<f64>);

/// One value of a run in every `1000 - per_mille` is larger.
///
/// # Panics
///
/// If there are no values.
pub(crate) fn percentile<T: Copy + PartialOrd>(sorted: &[T], per_mille: usize) -> T {
    debug_assert!(sorted.is_sorted());
    sorted[(sorted.len() * per_mille).div_ceil(1000).max(1) - 1]
}

// === impl Runs ===

impl Runs {
    pub(crate) fn push(&mut self, figure: f64) {
        self.0.push(figure);
    }

    /// Not a number if there are no figures.
    pub(crate) fn median(&self) -> f64 {
        let sorted = self.sorted();
        let middle = sorted.len() / 2;
        match sorted.len() {
            0 => f64::NAN,
            odd if odd % 2 == 1 => sorted[middle],
            _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
        }
    }

    /// The median, the least and the most, with so many decimals.
    pub(crate) fn show(&self, decimals: usize) -> String {
        let sorted = self.sorted();
        let (Some(least), Some(most)) = (sorted.first(), sorted.last()) else {
            return "–".to_owned();
        };
        let number = |figure: f64| grouped(figure, decimals);
        if number(*least) == number(*most) {
            return number(*least);
        }
        format!("{} ({}–{})", number(self.median()), number(*least), number(*most))
    }

    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }
}

impl FromIterator<f64> for Runs {
    fn from_iter<I: IntoIterator<Item = f64>>(figures: I) -> Self {
        Self(figures.into_iter().collect())
    }
}

/// The number with commas between its thousands.
fn grouped(figure: f64, decimals: usize) -> String {
    let text = format!("{figure:.decimals$}");
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut grouped = String::new();
    for (place, digit) in whole.char_indices() {
        let left = whole.len() - place;
        let is_after_digit = grouped.ends_with(|c: char| c.is_ascii_digit());
        if left % 3 == 0 && is_after_digit {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_value_that_was_measured() {
        let sorted: Vec<u32> = (1..=1000).collect();
        let of = |per_mille| percentile(&sorted, per_mille);
        assert_eq!([of(500), of(990), of(999), of(1000)], [500, 990, 999, 1000]);
        assert_eq!([percentile(&[7], 0), percentile(&[7], 1000)], [7, 7]);
        assert_eq!(percentile(&[1, 2, 3], 500), 2);
    }

    #[test]
    fn the_median_is_in_the_middle_and_the_spread_around_it() {
        let runs: Runs = [3.0, 1.0, 2000.4].into_iter().collect();
        assert_eq!(runs.show(0), "3 (1–2,000)");
        let runs: Runs = [1.0, 2.0].into_iter().collect();
        assert_eq!(runs.show(1), "1.5 (1.0–2.0)");
        assert_eq!(Runs::default().show(1), "–");
    }

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(grouped(1_234_567.0, 0), "1,234,567");
        assert_eq!(grouped(123.25, 1), "123.2");
        assert_eq!(grouped(-1234.5, 1), "-1,234.5");
    }
}
