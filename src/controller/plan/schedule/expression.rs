//! A cron expression, read as the controller of CronJobs reads it: with robfig/cron v3.

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};

/// The years of all ticks: without a limit, one that never comes would be looked for through thousands of years.
const YEARS: &str = "1970-2199";
/// The five fields, and the numbers in each.
const FIELDS: [(&str, u32, u32); 5] =
    [("minute", 0, 59), ("hour", 0, 23), ("day of month", 1, 31), ("month", 1, 12), ("day of week", 0, 7)];
const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
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
    if text.to_ascii_uppercase().contains("TZ=") {
        return Err("spec.schedule.cron: leave TZ= and CRON_TZ= out; write the time zone into spec.schedule.timeZone".to_owned());
    }
    if let Some(every) = text.strip_prefix("@every") {
        return Err(instead_of_every(text, every.trim()));
    }
    let spelt_out = NICKNAMES.iter().find(|(nickname, _)| text.eq_ignore_ascii_case(nickname)).map_or(text, |(_, fields)| fields);
    let fields: Vec<_> = spelt_out.split_whitespace().collect();
    if let [_, rest @ ..] = &fields[..]
        && rest.len() == FIELDS.len()
    {
        return Err(format!("spec.schedule.cron: {text:?} has six fields; leave the seconds out: write {:?}", rest.join(" ")));
    }
    if fields.len() != FIELDS.len() {
        return Err(misread(text, &format!("it has {} fields", fields.len())));
    }
    for (field, bounds) in fields.iter().zip(FIELDS) {
        check(text, field, bounds)?;
    }
    let normal: Vec<_> = fields.iter().zip(FIELDS).map(|(field, (name, ..))| normal(field, name)).collect();
    // As CronJob reads it, `5/15` is every 15 from 5 on.
    let parser = CronParser::builder().seconds(Seconds::Required).year(Year::Required).sloppy_ranges(true).build();
    let parsed = parser.parse(&format!("0 {} {YEARS}", normal.join(" ")));
    parsed.map_err(|error| misread(text, error.to_string().trim_end_matches('.')))
}

fn misread(text: &str, why: &str) -> String {
    format!(
        "spec.schedule.cron: {text:?} is no cron expression ({why}); write five fields, minute, hour, day of month, month and day of week, such \
         as \"30 2 * * *\""
    )
}

/// Ticks follow the clock; `@every` counts from whenever its program started.
fn instead_of_every(text: &str, every: &str) -> String {
    let number = |unit: char| every.strip_suffix(unit).and_then(|number| number.parse::<u32>().ok());
    let cron = match (number('h'), number('m')) {
        (Some(1), _) => "0 * * * *".to_owned(),
        (Some(hours @ 2..=23), _) => format!("0 */{hours} * * *"),
        (_, Some(1)) => "* * * * *".to_owned(),
        (_, Some(minutes @ 2..=59)) => format!("*/{minutes} * * * *"),
        _ => return misread(text, "ticks follow the clock, and @every does not"),
    };
    format!("spec.schedule.cron: {text:?} does not follow the clock, as ticks do; write {cron:?}")
}

fn check(text: &str, field: &str, (name, least, most): (&str, u32, u32)) -> Result<(), String> {
    for item in field.split(',') {
        if item.is_empty() {
            return Err(format!("spec.schedule.cron: an item of a list is empty in {text:?}; write a value on each side of every comma"));
        }
        if item.contains('+') {
            return Err(format!("spec.schedule.cron: leave the + out: write {:?}", text.replace('+', "")));
        }
        if item.starts_with('/') {
            return Err(format!("spec.schedule.cron: a step needs a start in {text:?}; write *{item}"));
        }
        let range = item.split('/').next().unwrap_or_default();
        let numbers: Vec<_> = range.split('-').filter_map(|value| number(value, name)).collect();
        if let Some(number) = numbers.iter().find(|number| !(least..=most).contains(number)) {
            return Err(format!(
                "spec.schedule.cron: {name} is {least} to {most}, not {number}, in {text:?}; write a number in that range"
            ));
        }
        if !numbers.is_sorted() {
            return Err(format!(
                "spec.schedule.cron: the range {range} ends before it begins, in {text:?}; write two ranges, with a comma"
            ));
        }
    }
    Ok(())
}

fn number(value: &str, field: &str) -> Option<u32> {
    let (names, first): (&[&str], u32) = match field {
        "month" => (&MONTHS, 1),
        "day of week" => (&DAYS, 0),
        _ => (&[], 0),
    };
    let by_name = || (first..).zip(names).find(|(_, known)| value.eq_ignore_ascii_case(known)).map(|(number, _)| number);
    value.parse().ok().or_else(by_name)
}

/// In the words of the parser. A star stays one with a step of one and among others, and a question mark is a star: that decides whether the
/// day of month and the day of week must both match, or either.
fn normal(field: &str, name: &str) -> String {
    let items: Vec<_> = field.split(',').map(|item| normal_item(item, name)).collect();
    if items.iter().any(|item| item == "*") { "*".to_owned() } else { items.join(",") }
}

fn normal_item(item: &str, name: &str) -> String {
    let (start, step) = item.split_once('/').map_or((item, None), |(start, step)| (start, Some(step)));
    match (start, step) {
        ("*" | "?", None) => "*".to_owned(),
        ("*" | "?", Some(step)) if step.parse() == Ok(1) => "*".to_owned(),
        ("*" | "?", Some(step)) => format!("*/{step}"),
        // The week ends with Saturday, which the parser does not know: its seventh day is Sunday.
        (day, Some(step)) if name == "day of week" && !day.contains('-') && day != "7" => format!("{day}-6/{step}"),
        _ => item.to_owned(),
    }
}
