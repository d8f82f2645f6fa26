//! Reads tables in Markdown.

/// Returns the rows of the table whose header begins with these cells, without the header.
pub fn table(page: &str, head: &[&str]) -> Vec<Vec<String>> {
    let mut lines = page.lines().map(|line| line.trim_start_matches("///").trim_start_matches("//!").trim());
    let is_head =
        |line: &str| head.iter().zip(cells(line)).filter(|(wanted, cell)| *wanted == cell).count() == head.len();
    lines.find(|line| line.starts_with('|') && is_head(line)).unwrap_or_else(|| panic!("no table {head:?}"));
    lines.skip(1).take_while(|line| line.starts_with('|')).map(cells).collect()
}

fn cells(row: &str) -> Vec<String> {
    row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
}

/// Returns the texts in backticks in a cell.
pub fn code(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}
