//! One field of a cron expression: checks each value and writes it as a number.
//!
//! The croner parser replaces names in the text of the whole expression: it reads `MON` as January in the
//! month field, and `SUN-SUN` as `0-7`. This module knows the names, bounds and extensions of each field, and
//! croner never sees a name.

/// The name of a field in messages, its bounds and the names of its values.
pub struct Field {
    name: &'static str,
    least: u32,
    /// Where `*` and a step without an end stop: in a week at Saturday, although 7 is Sunday too.
    last: u32,
    most: u32,
    /// The names of the values from `least` on.
    names: &'static [&'static str],
}

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const DAY_OF_MONTH: &str = "day of month";
const DAY_OF_WEEK: &str = "day of week";

/// The fields of an expression, in order.
pub const FIELDS: [Field; 5] = [
    Field { name: "minute", least: 0, last: 59, most: 59, names: &[] },
    Field { name: "hour", least: 0, last: 23, most: 23, names: &[] },
    Field { name: DAY_OF_MONTH, least: 1, last: 31, most: 31, names: &[] },
    Field { name: "month", least: 1, last: 12, most: 12, names: &MONTHS },
    Field { name: DAY_OF_WEEK, least: 0, last: 6, most: 7, names: &DAYS },
];

impl Field {
    /// Writes `text` in numbers. A list with a star in it becomes a star: with a star in one of the two day
    /// fields both must match, and else either.
    ///
    /// # Errors
    /// What is wrong with it, and what to write instead.
    pub fn in_numbers(&self, text: &str) -> Result<String, String> {
        let items: Vec<_> = text.split(',').map(|item| self.item(item)).collect::<Result<_, _>>()?;
        let has = |known: &str| items.iter().any(|item| item == known);
        if has("L") && has("LW") {
            return Err("L and LW cannot be in one list; write one of them".to_owned());
        }
        Ok(if has("*") { "*".to_owned() } else { items.join(",") })
    }

    fn item(&self, item: &str) -> Result<String, String> {
        if item.is_empty() {
            return Err("an item of a list is empty; write a value on each side of every comma".to_owned());
        }
        if item.contains('+') {
            return Err(format!(
                "{} has no signs; leave the + out: write {}",
                self.name,
                item.replace('+', "")
            ));
        }
        match self.name {
            DAY_OF_MONTH => self.day_of_month(item),
            DAY_OF_WEEK => self.day_of_week(item),
            _ => self.steps(item),
        }
    }

    /// `L` is the last day, `LW` the last weekday, and `15W` the weekday nearest to the 15th.
    fn day_of_month(&self, item: &str) -> Result<String, String> {
        let upper = item.to_ascii_uppercase();
        match upper.strip_suffix('W') {
            _ if upper == "L" || upper == "LW" => Ok(upper),
            Some(day) => Ok(format!("{}W", self.value(day)?)),
            None => self.steps(item),
        }
    }

    /// `FRI#2` is the second Friday of a month, and `FRIL` or `FRI#L` the last.
    fn day_of_week(&self, item: &str) -> Result<String, String> {
        let by_letter = || item.strip_suffix(['l', 'L']).filter(|day| !day.is_empty()).map(|day| (day, "L"));
        let Some((days, nth)) = item.split_once('#').or_else(by_letter) else { return self.steps(item) };
        if !["1", "2", "3", "4", "5", "l", "L"].contains(&nth) {
            return Err(format!(
                "a day of week goes with #1 to #5 or #L, not #{nth}; write FRI#2 for the second Friday of a month"
            ));
        }
        match self.steps(days)?.as_str() {
            "*" => Err(format!("{item} names no day; write FRI#2 for the second Friday of a month")),
            days => Ok(format!("{days}#{}", nth.to_ascii_uppercase())),
        }
    }

    /// Writes a range with its step. A star or question mark, alone or with a step of 1, becomes a star.
    fn steps(&self, item: &str) -> Result<String, String> {
        let (range, step) = item.split_once('/').map_or((item, None), |(range, step)| (range, Some(step)));
        if range.is_empty() {
            return Err(format!("a step needs a start; write *{item}"));
        }
        let every = step.map_or(Ok(1), |step| self.step(step))?;
        let (first, last) = self.range(range, step.is_some())?;
        Ok(if is_star(range) && every == 1 { "*".to_owned() } else { format!("{first}-{last}/{every}") })
    }

    /// Reads a step. All steps beyond the field do the same, so the largest result is one that croner takes.
    fn step(&self, text: &str) -> Result<i64, String> {
        let step = number(text).filter(|step| *step > 0).map(|step| step.min(i64::from(self.most) + 1));
        step.ok_or_else(|| {
            format!("the step of {} is a number from 1 on, not {text}; write */5 for every fifth", self.name)
        })
    }

    /// Reads the first and last value. A single value with a step runs to the end of the field.
    fn range(&self, text: &str, has_step: bool) -> Result<(u32, u32), String> {
        let Some((first, last)) = text.split_once('-') else { return self.start(text, has_step) };
        if first.is_empty() || last.is_empty() {
            return Err(format!("the range {text} has one end; write a value on each side of the hyphen"));
        }
        let range = (self.value(first)?, self.value(last)?);
        if range.0 > range.1 {
            return Err(format!("the range {text} ends before it begins; write two ranges, with a comma"));
        }
        Ok(range)
    }

    fn start(&self, text: &str, has_step: bool) -> Result<(u32, u32), String> {
        if is_star(text) {
            return Ok((self.least, self.last));
        }
        let first = self.value(text)?;
        Ok((first, if has_step { self.last.max(first) } else { first }))
    }

    fn value(&self, text: &str) -> Result<u32, String> {
        let named = (self.least..)
            .zip(self.names)
            .find(|(_, name)| text.eq_ignore_ascii_case(name))
            .map(|(value, _)| value);
        let value = named
            .or_else(|| number(text)?.try_into().ok())
            .filter(|value| (self.least..=self.most).contains(value));
        value.ok_or_else(|| {
            format!("{} is {}, not {text}; write a value in that range", self.name, self.values())
        })
    }

    fn values(&self) -> String {
        let numbers = format!("{} to {}", self.least, self.most);
        match self.names {
            [first, .., last] => format!("{numbers} or {first} to {last}"),
            _ => numbers,
        }
    }
}

fn is_star(range: &str) -> bool {
    range == "*" || range == "?"
}

/// Reads digits, up to the largest number that robfig/cron takes.
fn number(text: &str) -> Option<i64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_numbers(name: &str, text: &str) -> Result<String, String> {
        FIELDS.iter().find(|field| field.name == name).expect("a field").in_numbers(text)
    }

    #[test]
    fn every_value_is_written_as_a_number() {
        let table = [
            ("minute", "007,5-9", "7-7/1,5-9/1"),
            ("month", "jan,MAR-Dec/3", "1-1/1,3-12/3"),
            ("day of week", "SUN-SUN", "0-0/1"),
            ("day of week", "0-sun", "0-0/1"),
            ("day of week", "SUN-7", "0-7/1"),
            ("day of week", "mon/2", "1-6/2"),
            ("day of week", "7/2", "7-7/2"),
        ];
        for (name, text, numbers) in table {
            assert_eq!(in_numbers(name, text).as_deref(), Ok(numbers), "{text}");
        }
    }

    #[test]
    fn a_star_stays_one_in_a_list_and_with_a_step_of_one() {
        let table = [
            ("*", "*"),
            ("?", "*"),
            ("*/1", "*"),
            ("3,?/01", "*"),
            ("*/2", "0-6/2"),
            ("0-6", "0-6/1"),
            ("0/1", "0-6/1"),
        ];
        for (text, numbers) in table {
            assert_eq!(in_numbers("day of week", text).as_deref(), Ok(numbers), "{text}");
        }
    }

    #[test]
    fn a_step_beyond_the_field_leaves_its_first_value() {
        for step in ["60", "65535", "65536", "9223372036854775807"] {
            assert_eq!(in_numbers("minute", &format!("5/{step}")).as_deref(), Ok("5-59/60"), "{step}");
        }
    }

    #[test]
    fn last_nearest_and_nth_days_stay_what_they_are() {
        let table = [
            ("day of month", "l", "L"),
            ("day of month", "LW,3", "LW,3-3/1"),
            ("day of month", "15w", "15W"),
            ("day of week", "fri#2", "5-5/1#2"),
            ("day of week", "FRIL", "5-5/1#L"),
            ("day of week", "7#l", "7-7/1#L"),
            ("day of week", "MON-FRI#1", "1-5/1#1"),
        ];
        for (name, text, numbers) in table {
            assert_eq!(in_numbers(name, text).as_deref(), Ok(numbers), "{text}");
        }
    }

    #[test]
    fn what_is_no_value_of_a_field_is_refused_with_what_is() {
        let table = [
            ("minute", "MON", "minute is 0 to 59, not MON; write a value in that range"),
            ("hour", "24", "hour is 0 to 23, not 24"),
            ("hour", "L", "hour is 0 to 23, not L"),
            ("day of month", "JAN", "day of month is 1 to 31, not JAN"),
            ("day of month", "FRI#2", "day of month is 1 to 31, not FRI#2"),
            ("day of month", "LW,1,l", "L and LW cannot be in one list"),
            ("day of month", "15W7", "day of month is 1 to 31, not 15W7"),
            ("day of month", "32W", "day of month is 1 to 31, not 32"),
            ("month", "MON", "month is 1 to 12 or jan to dec, not MON"),
            ("month", "1JAN", "month is 1 to 12 or jan to dec, not 1JAN"),
            ("month", "*,JANUARY", "month is 1 to 12 or jan to dec, not JANUARY"),
            ("day of week", "JAN", "day of week is 0 to 7 or sun to sat, not JAN"),
            ("day of week", "L", "day of week is 0 to 7 or sun to sat, not L"),
            ("day of week", "*-5", "day of week is 0 to 7 or sun to sat, not *"),
            ("day of week", "1-2-3", "day of week is 0 to 7 or sun to sat, not 2-3"),
            ("day of week", "FRI#6", "a day of week goes with #1 to #5 or #L, not #6"),
            ("day of week", "*#2", "*#2 names no day"),
            ("minute", "-5", "the range -5 has one end"),
            ("minute", "9223372036854775808", "minute is 0 to 59, not 9223372036854775808"),
            ("minute", "*/0", "the step of minute is a number from 1 on, not 0; write */5 for every fifth"),
            ("minute", "*/2/2", "not 2/2"),
            ("minute", "*/9223372036854775808", "from 1 on, not 9223372036854775808"),
        ];
        for (name, text, refusal) in table {
            let error = in_numbers(name, text).expect_err(text);
            assert!(error.contains(refusal) && error.contains("write "), "{text}: {error}");
        }
    }
}
