//! A horizontal grouped bar chart as SVG, for the run's folder and the README. Text only, no
//! script, no font file; colours that stay apart in greyscale.

use std::fmt::Write;

const BAR: f64 = 14.0;
const GROUP_GAP: f64 = 12.0;
const LEFT: f64 = 190.0;
const PLOT: f64 = 560.0;
/// Room for the figure behind the longest bar.
const RIGHT: f64 = 70.0;
const TOP: f64 = 64.0;

/// First the measured server's, then its peers'.
const COLOURS: [&str; 6] = ["#b5451b", "#4a6fa5", "#9db4d0", "#6b8f71", "#c9b458", "#8a7ca8"];

/// What to draw.
#[derive(Clone, Debug)]
pub struct Chart {
    /// Headline.
    pub title: String,
    /// Names of the series, in order.
    pub series: Vec<String>,
    /// A label and one figure per series; none leaves the bar out.
    pub groups: Vec<(String, Vec<Option<f64>>)>,
}

impl Chart {
    /// The SVG document; empty when there is nothing to draw.
    pub fn svg(&self) -> String {
        let figures = self.groups.iter().flat_map(|(_, values)| values.iter().flatten());
        let longest = figures.copied().fold(0.0, f64::max);
        if longest <= 0.0 || self.series.is_empty() {
            return String::new();
        }
        let group_height = BAR * self.series.len() as f64 + GROUP_GAP;
        let height = TOP + group_height * self.groups.len() as f64 + GROUP_GAP;
        let width = LEFT + PLOT + RIGHT;
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = writeln!(
            out,
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0} {height:.0}" font-family="sans-serif" font-size="11">"#
        );
        let _ = writeln!(out, r##"<rect width="100%" height="100%" fill="#ffffff"/>"##);
        let title = escape(&self.title);
        let _ = writeln!(out, r#"<text x="12" y="22" font-size="15">{title}</text>"#);
        self.legend(&mut out);
        for (index, (label, values)) in self.groups.iter().enumerate() {
            let top = TOP + group_height * index as f64;
            let middle = top + (group_height - GROUP_GAP) / 2.0 + 4.0;
            let _ = writeln!(
                out,
                r#"<text x="{:.0}" y="{middle:.1}" text-anchor="end">{}</text>"#,
                LEFT - 8.0,
                escape(label)
            );
            for (series, value) in values.iter().enumerate() {
                let Some(value) = value else { continue };
                let y = top + BAR * series as f64;
                let length = value / longest * PLOT;
                let colour = COLOURS[series % COLOURS.len()];
                let _ = writeln!(
                    out,
                    r#"<rect x="{LEFT:.0}" y="{y:.1}" width="{length:.1}" height="{:.1}" fill="{colour}"/><text x="{:.1}" y="{:.1}">{value:.2}</text>"#,
                    BAR - 2.0,
                    LEFT + length + 4.0,
                    y + BAR - 4.0,
                );
            }
        }
        out.push_str("</svg>\n");
        out
    }

    fn legend(&self, out: &mut String) {
        for (index, name) in self.series.iter().enumerate() {
            let x = LEFT + 120.0 * index as f64;
            let colour = COLOURS[index % COLOURS.len()];
            let _ = writeln!(
                out,
                r#"<rect x="{x:.0}" y="36" width="10" height="10" fill="{colour}"/><text x="{:.0}" y="45">{}</text>"#,
                x + 15.0,
                escape(name)
            );
        }
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_share_one_scale() {
        let chart = Chart {
            title: "a < b".into(),
            series: vec!["x".into(), "y".into()],
            groups: vec![("get".into(), vec![Some(1.0), Some(2.0)])],
        };
        let svg = chart.svg();
        assert!(svg.contains("a &lt; b"));
        assert!(svg.contains(r#"width="280.0""#) && svg.contains(r#"width="560.0""#));
        assert!(Chart { groups: Vec::new(), ..chart }.svg().is_empty());
    }
}
