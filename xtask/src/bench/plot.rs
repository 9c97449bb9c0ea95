//! Latency through a fault as SVG: one panel per system, p50 and p99 of the writes that were due in each
//! tenth of a second. Logarithmic, since healthy and broken differ by a factor of thousands.

use std::fmt::Write as _;

use super::results::Timeline;

const WIDTH: f64 = 860.0;
const PANEL_HEIGHT: f64 = 250.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 46.0;
const BOTTOM: f64 = 44.0;
/// Axis of latency, in milliseconds.
const LATENCY_MIN: f64 = 0.01;
const LATENCY_MAX: f64 = 10_000.0;

/// Seconds after the fault that are shown; all is said by then.
const SHOWN_AFTER: f64 = 6.0;

const COLOR_P50: &str = "#1f6fb4";
const COLOR_P99: &str = "#d1495b";

/// A picture of these timelines below each other, all with the same axes.
pub fn svg(timelines: &[Timeline]) -> String {
    let times = || {
        timelines
            .iter()
            .flat_map(|timeline| timeline.points.iter().map(|point| point.0))
    };
    let first = times().fold(0.0, f64::min).floor();
    let last = times().fold(1.0, f64::max).ceil().min(SHOWN_AFTER);
    let height = timelines.len() as f64 * PANEL_HEIGHT + 10.0;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"DejaVu Sans, Verdana, sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
    );
    for (index, timeline) in timelines.iter().enumerate() {
        let panel = Panel {
            top: index as f64 * PANEL_HEIGHT + TOP,
            first,
            last,
        };
        panel.draw(timeline, &mut out);
    }
    out.push_str("</svg>\n");
    out
}

struct Panel {
    top: f64,
    first: f64,
    last: f64,
}

impl Panel {
    fn x(&self, seconds: f64) -> f64 {
        LEFT + (seconds - self.first) / (self.last - self.first) * (WIDTH - LEFT - RIGHT)
    }

    fn bottom(&self) -> f64 {
        self.top + PANEL_HEIGHT - TOP - BOTTOM
    }

    fn y(&self, milliseconds: f64) -> f64 {
        let decades = (LATENCY_MAX / LATENCY_MIN).log10();
        let share = (milliseconds.clamp(LATENCY_MIN, LATENCY_MAX) / LATENCY_MIN).log10() / decades;
        self.bottom() - share * (self.bottom() - self.top)
    }

    fn draw(&self, timeline: &Timeline, out: &mut String) {
        let heading = self.top - 26.0;
        let title = escape(&timeline.title);
        // Writing to a string cannot fail.
        let _ = writeln!(
            out,
            "<text x=\"{LEFT}\" y=\"{heading}\" font-size=\"14\" font-weight=\"bold\">{title}: no acknowledgement for {:.2} s</text>",
            timeline.gap_seconds
        );
        self.draw_axes(out);
        self.draw_legend(out);
        self.draw_line(timeline, |point| point.1, COLOR_P50, out);
        self.draw_line(timeline, |point| point.2, COLOR_P99, out);
    }

    fn draw_axes(&self, out: &mut String) {
        let (right, bottom) = (WIDTH - RIGHT, self.bottom());
        for (milliseconds, label) in [
            (0.01, "0.01 ms"),
            (0.1, "0.1 ms"),
            (1.0, "1 ms"),
            (10.0, "10 ms"),
            (100.0, "100 ms"),
            (1_000.0, "1 s"),
            (10_000.0, "10 s"),
        ] {
            let y = self.y(milliseconds);
            let _ = writeln!(
                out,
                "<line x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\" stroke=\"#dddddd\"/>\n\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
                LEFT - 6.0,
                y + 4.0
            );
        }
        let mut second = self.first;
        while second <= self.last {
            let x = self.x(second);
            let _ = writeln!(
                out,
                "<line x1=\"{x:.1}\" y1=\"{bottom:.1}\" x2=\"{x:.1}\" y2=\"{:.1}\" stroke=\"#333333\"/>\n\
                 <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{second:.0}</text>",
                bottom + 4.0,
                bottom + 17.0
            );
            second += 1.0;
        }
        let zero = self.x(0.0);
        let _ = writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">seconds from the kill, when the write was due</text>\n\
             <line x1=\"{LEFT}\" y1=\"{bottom:.1}\" x2=\"{right}\" y2=\"{bottom:.1}\" stroke=\"#333333\"/>\n\
             <line x1=\"{zero:.1}\" y1=\"{:.1}\" x2=\"{zero:.1}\" y2=\"{bottom:.1}\" stroke=\"#333333\" stroke-dasharray=\"4 3\"/>\n\
             <text x=\"{:.1}\" y=\"{:.1}\">leader killed</text>",
            (LEFT + right) / 2.0,
            bottom + 33.0,
            self.top,
            zero + 5.0,
            self.top + 10.0
        );
    }

    fn draw_legend(&self, out: &mut String) {
        let y = self.top - 10.0;
        for (offset, color, label) in [(0.0, COLOR_P50, "p50"), (70.0, COLOR_P99, "p99")] {
            let x = LEFT + offset;
            let _ = writeln!(
                out,
                "<line x1=\"{x}\" y1=\"{y}\" x2=\"{}\" y2=\"{y}\" stroke=\"{color}\" stroke-width=\"2.5\"/>\n\
                 <text x=\"{}\" y=\"{}\">{label}</text>",
                x + 24.0,
                x + 30.0,
                y + 4.0
            );
        }
    }

    fn draw_line(
        &self,
        timeline: &Timeline,
        of: impl Fn(&(f64, f64, f64)) -> f64,
        color: &str,
        out: &mut String,
    ) {
        let points: Vec<String> = timeline
            .points
            .iter()
            .filter(|point| point.0 <= self.last)
            .map(|point| format!("{:.1},{:.1}", self.x(point.0), self.y(of(point))))
            .collect();
        let _ = writeln!(
            out,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"1.8\"/>",
            points.join(" ")
        );
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_system_has_a_panel_and_points_stay_inside() {
        let timeline = |title: &str| Timeline {
            title: title.to_owned(),
            points: vec![(-3.0, 0.01, 0.2), (0.0, 2_000.0, 99_999.0), (4.2, 0.3, 0.4)],
            gap_seconds: 1.5,
        };
        let picture = svg(&[timeline("a < b"), timeline("c")]);
        assert_eq!(picture.matches("<polyline").count(), 4);
        assert!(picture.contains("a &lt; b: no acknowledgement for 1.50 s"));
        let panel = Panel {
            top: TOP,
            first: -3.0,
            last: 5.0,
        };
        assert_eq!(panel.y(99_999.0), panel.top);
        assert_eq!(panel.y(0.01), panel.bottom());
    }
}
