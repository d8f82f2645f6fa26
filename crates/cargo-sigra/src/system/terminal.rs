//! Writes to the terminal. Output to a file or a pipe has no colors.

use std::fmt::Display;

use anstyle::{AnsiColor, Style};

pub const GOOD: Style = AnsiColor::Green.on_default().bold();
pub const BAD: Style = AnsiColor::Red.on_default().bold();
pub const WARNING: Style = AnsiColor::Yellow.on_default().bold();
pub const COMMAND: Style = AnsiColor::Cyan.on_default().bold();
pub const STRONG: Style = Style::new().bold();

/// Returns text in a style.
pub fn styled(style: Style, text: impl Display) -> String {
    format!("{style}{text}{style:#}")
}

/// Prints a line about a step, such as a created file.
pub fn step(verb: &str, what: impl Display) {
    anstream::println!("  {} {what}", styled(GOOD, format!("{verb:>9}")));
}

/// Prints a warning.
pub fn warn(text: impl Display) {
    anstream::eprintln!("{} {text}", styled(WARNING, "warning:"));
}

/// Prints the commands to run next.
pub fn next_commands(commands: &[String]) {
    anstream::println!("\nNext:\n");
    for command in commands {
        anstream::println!("  {}", styled(COMMAND, command));
    }
}
