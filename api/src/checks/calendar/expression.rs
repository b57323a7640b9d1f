//! Reads a cron expression as the CronJob controller does, which uses robfig/cron v3.

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};

use super::field::FIELDS;

/// The years of all ticks. Without this limit croner would search thousands of years for a tick that never
/// comes.
const YEARS: &str = "1970-2199";
const NICKNAMES: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

/// Reads `text`.
///
/// # Errors
/// What is wrong with it, and what to write instead.
pub fn read(text: &str) -> Result<Cron, String> {
    in_numbers(text)
        .and_then(|fields| parse(&fields))
        .map_err(|why| format!("spec.schedule.cron {text:?}: {why}"))
}

fn parse(fields: &[String]) -> Result<Cron, String> {
    let parser = CronParser::builder().seconds(Seconds::Required).year(Year::Required).build();
    let parsed = parser.parse(&format!("0 {} {YEARS}", fields.join(" ")));
    parsed.map_err(|error| five_fields(error.to_string().trim_end_matches('.')))
}

/// The five fields of `text`, in numbers.
fn in_numbers(text: &str) -> Result<Vec<String>, String> {
    if text.to_ascii_uppercase().contains("TZ=") {
        return Err("leave TZ= and CRON_TZ= out; write the time zone into spec.schedule.timeZone".to_owned());
    }
    let fields: Vec<_> =
        if text.trim_start().starts_with('@') { nickname(text)? } else { text }.split_whitespace().collect();
    match fields[..] {
        [_, ref rest @ ..] if rest.len() == FIELDS.len() => Err(six_fields(rest)),
        _ if fields.len() != FIELDS.len() => Err(five_fields(&format!("it has {} fields", fields.len()))),
        _ => each_in_numbers(&fields),
    }
}

fn each_in_numbers(fields: &[&str]) -> Result<Vec<String>, String> {
    FIELDS.iter().zip(fields).map(|(field, text)| field.in_numbers(text)).collect()
}

fn five_fields(why: &str) -> String {
    format!(
        "{why}; write five fields, minute, hour, day of month, month and day of week, such as \"30 2 * * *\""
    )
}

/// Advises to leave out the first field, which most likely is the seconds, if the others can be read.
fn six_fields(rest: &[&str]) -> String {
    match each_in_numbers(rest) {
        Ok(_) => format!("it has six fields; leave the seconds out: write {:?}", rest.join(" ")),
        Err(_) => five_fields("it has six fields"),
    }
}

/// The fields that a nickname stands for.
fn nickname(text: &str) -> Result<&'static str, String> {
    let plain = text.trim().to_ascii_lowercase();
    if let Some(every) = plain.strip_prefix("@every") {
        return Err(instead_of_every(every.trim()));
    }
    match NICKNAMES.iter().find(|(nickname, _)| *nickname == plain) {
        Some((_, fields)) if plain == text => Ok(fields),
        Some((nickname, _)) => Err(format!("nicknames have no capitals and no spaces; write {nickname:?}")),
        None => Err(five_fields("there is no such nickname")),
    }
}

/// Advises an expression: ticks follow the clock, while `@every` counts from the start of its program.
fn instead_of_every(every: &str) -> String {
    let number = |unit: char| every.strip_suffix(unit)?.parse::<u32>().ok();
    let minutes = number('m').or_else(|| number('h')?.checked_mul(60));
    let advice = minutes.and_then(by_the_clock).map_or_else(
        || "write the times of day, or a step that divides 60 minutes or 24 hours".to_owned(),
        |cron| format!("write {cron:?}"),
    );
    format!("@every does not follow the clock, as ticks do; {advice}")
}

/// The expression whose ticks are `minutes` apart. `None` if `minutes` divides neither an hour nor, in whole
/// hours, a day.
fn by_the_clock(minutes: u32) -> Option<String> {
    let hours = minutes / 60;
    match minutes {
        1 => Some("* * * * *".to_owned()),
        2..60 if 60 % minutes == 0 => Some(format!("*/{minutes} * * * *")),
        60 => Some("0 * * * *".to_owned()),
        1440 => Some("0 0 * * *".to_owned()),
        61.. if minutes.is_multiple_of(60) && 24 % hours == 0 => Some(format!("0 */{hours} * * *")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instead_of_every_an_even_expression_is_advised_or_none() {
        let even = [
            ("1m", "\"* * * * *\""),
            ("20m", "\"*/20 * * * *\""),
            ("60m", "\"0 * * * *\""),
            ("1h", "\"0 * * * *\""),
            ("120m", "\"0 */2 * * *\""),
            ("8h", "\"0 */8 * * *\""),
            ("24h", "\"0 0 * * *\""),
        ];
        for (every, cron) in even {
            let refusal = read(&format!("@every {every}")).expect_err(every);
            assert!(refusal.ends_with(&format!("write {cron}")), "{every}: {refusal}");
        }
        for uneven in ["0m", "50m", "5h", "90m", "7m", "36h", "48h", "90s", "1h30m", "4294967295h", "x", ""] {
            let refusal = read(&format!("@every {uneven}")).expect_err(uneven);
            assert!(refusal.ends_with("a step that divides 60 minutes or 24 hours"), "{uneven}: {refusal}");
        }
    }

    #[test]
    fn five_fields_of_six_are_advised_only_where_they_can_be_read() {
        let advice = |text: &str| read(text).expect_err(text);
        assert!(advice("0 30 2 * * *").ends_with("write \"30 2 * * *\""));
        for text in ["0 0 1 1 * 2026", "0 0 * * MON, TUE"] {
            assert!(
                advice(text).contains("it has six fields; write five fields"),
                "{text}: {}",
                advice(text)
            );
        }
    }
}
