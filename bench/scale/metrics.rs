//! What a program says of itself in the text format of Prometheus.

/// The sum of those series of a metric whose labels are wanted; `None` if there is none.
pub fn sum(text: &str, name: &str, wanted: impl Fn(&str) -> bool) -> Option<f64> {
    let values = text.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        let (labels, value) = rest.rsplit_once(' ')?;
        let is_metric = labels.is_empty() || labels.starts_with('{');
        if is_metric && wanted(labels) { value.parse::<f64>().ok() } else { None }
    });
    values.reduce(|sum, value| sum + value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_of_one_metric_are_summed() {
        let text = "# TYPE a counter\na{b=\"1\"} 2\na{b=\"2\"} 3\na_more 5\nc 7\n";
        assert_eq!(sum(text, "a", |_| true), Some(5.0));
        assert_eq!(sum(text, "a", |labels| labels.contains('2')), Some(3.0));
        assert_eq!(sum(text, "c", |_| true), Some(7.0));
        assert_eq!(sum(text, "d", |_| true), None);
    }
}
