//! Bars with their spread, as an SVG that can be read on light and on dark pages.

use std::fmt::Write as _;

const WIDTH: f64 = 860.0;
const LABELS: f64 = 330.0;
const BARS: f64 = 380.0;
const ROW: f64 = 28.0;
const TOP: f64 = 56.0;

/// One bar.
pub struct Bar {
    pub label: String,
    pub least: f64,
    pub median: f64,
    pub greatest: f64,
    /// What stands behind the bar.
    pub text: String,
    /// Whether it is ours.
    pub ours: bool,
}

/// Draws the bars, one below the other, on a scale from zero.
#[must_use]
pub fn bars(title: &str, bars: &[Bar]) -> String {
    let max = bars.iter().map(|bar| bar.greatest).fold(f64::MIN_POSITIVE, f64::max);
    let height = TOP + ROW * bars.len() as f64 + 14.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{0}\">
<style>
  .page {{ fill: #ffffff }} text {{ fill: #1f2328; font: 13px system-ui, sans-serif }}
  .title {{ font-size: 15px; font-weight: 600 }} .bar {{ fill: #8c959f }} .ours {{ fill: #0969da }}
  .spread {{ stroke: #1f2328; stroke-width: 1.5 }}
  @media (prefers-color-scheme: dark) {{
    .page {{ fill: #0d1117 }} text {{ fill: #e6edf3 }} .bar {{ fill: #6e7681 }} .ours {{ fill: #4493f8 }}
    .spread {{ stroke: #e6edf3 }}
  }}
</style>
<rect class=\"page\" width=\"{WIDTH}\" height=\"{height}\" rx=\"6\"/>
<text class=\"title\" x=\"16\" y=\"30\">{0}</text>
",
        escape(title)
    );
    for (row, bar) in bars.iter().enumerate() {
        draw(&mut svg, TOP + ROW * row as f64, bar, BARS / max);
    }
    svg + "</svg>\n"
}

fn draw(svg: &mut String, top: f64, bar: &Bar, scale: f64) {
    let [least, median, greatest] = [bar.least, bar.median, bar.greatest].map(|value| LABELS + value * scale);
    let (label, width, text) = (LABELS - 10.0, (median - LABELS).max(1.0), greatest + 8.0);
    let (middle, edge, baseline) = (top + ROW / 2.0, top + ROW / 2.0 - 4.0, top + ROW / 2.0 + 4.5);
    let (upper, height) = (top + 4.0, ROW - 8.0);
    let class = if bar.ours { "bar ours" } else { "bar" };
    // Writing to a string can't fail.
    let _ = write!(
        svg,
        "<text x=\"{label:.1}\" y=\"{baseline:.1}\" text-anchor=\"end\">{}</text>
<rect class=\"{class}\" x=\"{LABELS}\" y=\"{upper:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"/>
<path class=\"spread\" d=\"M{least:.1} {middle:.1}H{greatest:.1}M{least:.1} {edge:.1}v8M{greatest:.1} {edge:.1}v8\"/>
<text x=\"{text:.1}\" y=\"{baseline:.1}\">{}</text>
",
        escape(&bar.label),
        escape(&bar.text),
    );
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_to_scale_and_text_is_escaped() {
        let bar = |median| Bar {
            label: "a < b".to_owned(),
            least: median,
            median,
            greatest: median,
            text: String::new(),
            ours: false,
        };
        let svg = bars("title", &[bar(100.0), bar(25.0)]);
        assert!(svg.contains("width=\"380.0\"") && svg.contains("width=\"95.0\""));
        assert!(svg.contains("a &lt; b") && !svg.contains("a < b"));
    }
}
