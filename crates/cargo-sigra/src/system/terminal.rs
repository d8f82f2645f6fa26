//! What is written to the terminal. Colours are dropped where nobody sees them.

use std::fmt::Display;

use anstyle::{AnsiColor, Style};

pub const GOOD: Style = AnsiColor::Green.on_default().bold();
pub const BAD: Style = AnsiColor::Red.on_default().bold();
pub const WARNING: Style = AnsiColor::Yellow.on_default().bold();
pub const COMMAND: Style = AnsiColor::Cyan.on_default().bold();
pub const STRONG: Style = Style::new().bold();

/// Text in a style.
pub fn styled(style: Style, text: impl Display) -> String {
    format!("{style}{text}{style:#}")
}

/// A line that says what was done to what.
pub fn step(verb: &str, what: impl Display) {
    anstream::println!("  {} {what}", styled(GOOD, format!("{verb:>9}")));
}

/// A notice that is not an error.
pub fn warn(text: impl Display) {
    anstream::eprintln!("{} {text}", styled(WARNING, "warning:"));
}

/// The commands to go on with.
pub fn next_commands(commands: &[String]) {
    anstream::println!("\nNext:\n");
    for command in commands {
        anstream::println!("  {}", styled(COMMAND, command));
    }
}
