//! The layers of a report as a picture: an SVG of its own, by hand.

use std::fmt::Write;

use crate::report::{Difference, LayerReport, Report};

/// Pixels from the left: widths, bars of errors, bars of gas, the right edge.
const WIDTHS: f64 = 230.0;
const ERRORS: f64 = 370.0;
const GAS: f64 = 760.0;
const RIGHT: f64 = 1000.0;
/// Longest bar of gas; its number stands behind it.
const GAS_BAR: f64 = 150.0;
/// Pixels a layer, and above the first.
const ROW: f64 = 20.0;
const TOP: f64 = 74.0;
/// Characters of a name that there is room for.
const NAME: usize = 32;
/// Powers of ten that the axis of errors shows at most.
const DECADES: i32 = 10;

impl Report {
    /// The layers as bars, an SVG file: per layer its error with what came before, by itself (where that was measured),
    /// both relative and on a logarithmic axis, and its gas.
    pub fn to_svg(&self) -> String {
        let height = TOP + ROW * self.layers.len() as f64 + 16.0;
        let mut svg = String::new();
        // Writing to a string cannot fail.
        let _ = self.draw(&mut svg, height);
        svg
    }

    fn draw(&self, svg: &mut String, height: f64) -> std::fmt::Result {
        writeln!(
            svg,
            r##"<svg xmlns="http://www.w3.org/2000/svg" width="{RIGHT}" height="{height}" viewBox="0 0 {RIGHT} {height}" font-family="sans-serif" font-size="11">
<rect width="100%" height="100%" fill="#fff"/>
<text x="12" y="22" font-size="14">{} worse by {:.6}; {} gas a run; {} samples</text>"##,
            escape(&self.drop.metric),
            self.drop.value,
            self.gas,
            self.samples
        )?;
        legend(svg, ERRORS, "#9db8d9", "error, with the layers before")?;
        legend(svg, ERRORS + 190.0, "#1f4e8c", "by the layer itself")?;
        legend(svg, GAS, "#c9a15a", "gas")?;
        let axis = Axis::of(&self.layers);
        for decade in axis.low..=axis.high {
            let x = axis.place(decade.into());
            writeln!(
                svg,
                r##"<line x1="{x:.1}" y1="{TOP}" x2="{x:.1}" y2="{:.1}" stroke="#ddd"/><text x="{x:.1}" y="{:.1}" text-anchor="middle" fill="#666">1e{decade}</text>"##,
                height - 16.0,
                TOP - 5.0
            )?;
        }
        let dearest = self.layers.iter().map(|l| l.gas).max().unwrap_or(0).max(1);
        for (i, layer) in self.layers.iter().enumerate() {
            row(svg, layer, TOP + ROW * i as f64, &axis, dearest)?;
        }
        svg.write_str("</svg>\n")
    }
}

fn legend(svg: &mut String, x: f64, colour: &str, text: &str) -> std::fmt::Result {
    writeln!(
        svg,
        r##"<rect x="{x}" y="38" width="10" height="10" fill="{colour}"/><text x="{}" y="47">{text}</text>"##,
        x + 15.0
    )
}

fn row(svg: &mut String, layer: &LayerReport, y: f64, axis: &Axis, dearest: u64) -> std::fmt::Result {
    let base = y + ROW - 6.0;
    let weights = layer.weight_bits.map_or(String::new(), |bits| format!("W{bits} "));
    writeln!(
        svg,
        r##"<text x="12" y="{base:.1}">{}</text><text x="{WIDTHS}" y="{base:.1}" fill="#666">{} {weights}A{}</text>"##,
        escape(&shortened(&layer.name)),
        escape(&layer.op),
        layer.value_bits
    )?;
    bar(svg, y + 3.0, ROW - 6.0, axis.bar(&layer.difference), "#9db8d9")?;
    if let Some(alone) = &layer.alone {
        bar(svg, y + 7.0, ROW - 14.0, axis.bar(alone), "#1f4e8c")?;
    }
    let width = GAS_BAR * layer.gas as f64 / dearest as f64;
    writeln!(
        svg,
        r##"<rect x="{GAS}" y="{:.1}" width="{width:.1}" height="{:.1}" fill="#c9a15a"/><text x="{:.1}" y="{base:.1}" fill="#666">{}</text>"##,
        y + 3.0,
        ROW - 6.0,
        GAS + width + 4.0,
        layer.gas
    )
}

fn bar(svg: &mut String, y: f64, height: f64, width: f64, colour: &str) -> std::fmt::Result {
    writeln!(
        svg,
        r##"<rect x="{ERRORS}" y="{y:.1}" width="{width:.1}" height="{height:.1}" fill="{colour}"/>"##
    )
}

/// Powers of ten of relative errors.
struct Axis {
    low: i32,
    high: i32,
}

impl Axis {
    fn of(layers: &[LayerReport]) -> Axis {
        let errors = layers.iter().flat_map(|l| [Some(l.difference), l.alone]).flatten();
        let logs = errors.map(|d| d.relative().log10()).filter(|l| l.is_finite());
        let (least, most) = logs.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), l| (a.min(l), b.max(l)));
        if least > most {
            return Axis { low: -6, high: 0 };
        }
        let high = most.ceil() as i32;
        Axis {
            low: (least.floor() as i32).max(high - DECADES).min(high - 1),
            high,
        }
    }

    /// Where a logarithm is.
    fn place(&self, log: f64) -> f64 {
        let share = (log - f64::from(self.low)) / f64::from(self.high - self.low);
        ERRORS + share.clamp(0.0, 1.0) * (GAS - 30.0 - ERRORS)
    }

    /// How long the bar of an error is; none has none.
    fn bar(&self, difference: &Difference) -> f64 {
        let log = difference.relative().log10();
        if log.is_nan() {
            return 0.0;
        }
        self.place(log) - ERRORS
    }
}

fn shortened(name: &str) -> String {
    match name.char_indices().nth(NAME) {
        // The end of a path says more than its start.
        Some(_) => {
            let skipped = name.chars().count() - NAME + 1;
            let rest: String = name.chars().skip(skipped).collect();
            format!("…{rest}")
        }
        None => name.into(),
    }
}

/// Text as XML 1.0 holds it: names come from files that others made.
fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&apos;"),
            // XML has no way to write these.
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => safe.push('\u{fffd}'),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_text() {
        assert_eq!(
            escape("</text><script>alert('&\"')\u{0}\n"),
            "&lt;/text&gt;&lt;script&gt;alert(&apos;&amp;&quot;&apos;)\u{fffd}\u{fffd}"
        );
    }

    #[test]
    fn long_names_keep_their_end() {
        let name = format!("{}/layer.7/ünit", "a".repeat(60));
        let short = shortened(&name);
        assert!(short.ends_with("/layer.7/ünit") && short.starts_with('…'), "{short}");
        assert_eq!(short.chars().count(), NAME);
        assert_eq!(shortened("conv1"), "conv1");
    }
}
