//! How both programs report arguments that they do not understand.

/// The first paragraph of what clap says, on one line: what is wrong, without the hints that follow.
pub fn first_paragraph(error: &str) -> String {
    let lines: Vec<_> = error.lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
    lines.join(" ").trim_start_matches("error: ").to_owned()
}
