//! The gallery as an HTML page that needs no network, with its pictures beside it.

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::{
    bench::Row,
    gallery::{Frame, Gallery},
    stage::{grouped, sdk},
};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// Extents of the chart.
const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 130.0;

/// Writes the page; its path.
pub fn write(out: &Path, gallery: &Gallery, rows: &[Row]) -> Result<PathBuf> {
    let pictures = out.join("pictures");
    fs::create_dir_all(&pictures).with_context(|| format!("making the folder {}", pictures.display()))?;
    for frame in &gallery.frames {
        let path = out.join(file(gallery, frame));
        fs::write(&path, &frame.png).with_context(|| format!("writing {}", path.display()))?;
    }
    let path = out.join("index.html");
    fs::write(&path, html(gallery, rows)).with_context(|| format!("writing {}", path.display()))?;
    Ok(path)
}

fn file(gallery: &Gallery, frame: &Frame) -> String {
    format!("pictures/{}-{}.png", frame.token, gallery.days[frame.day].date)
}

fn html(gallery: &Gallery, rows: &[Row]) -> String {
    let mut page = String::new();
    let from = &gallery.days[gallery.looks[0]].date;
    let to = &gallery.days[gallery.looks[gallery.looks.len() - 1]].date;
    page.push_str("<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n");
    page.push_str("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    push(
        &mut page,
        format_args!("<title>Weather of Markets</title>\n<style>\n{STYLE}</style>\n"),
    );
    push(
        &mut page,
        format_args!(
            "<header>\n<h1>Weather of Markets</h1>\n<p>A cw721 collection painted on chain. Two neural networks, stored as \
             code and called in one query, turn a price feed, a token's history and its seed into 64 × 64 pixels: the same \
             bits on every validator. Here: the S&amp;P 500 from {from} to {to}, posted day by day.</p>\n</header>\n"
        ),
    );

    page.push_str("<section id=\"now\">\n<div class=\"wall\">\n");
    for token in &gallery.tokens {
        push(
            &mut page,
            format_args!("<figure data-token=\"{token}\"><img alt=\"token {token}\" width=\"64\" height=\"64\"><figcaption></figcaption></figure>\n"),
        );
    }
    page.push_str("</div>\n");
    chart(&mut page, gallery);
    push(
        &mut page,
        format_args!(
            "<input id=\"time\" type=\"range\" min=\"0\" max=\"{0}\" value=\"{0}\" aria-label=\"day\">\n<p id=\"caption\"></p>\n</section>\n",
            gallery.looks.len() - 1
        ),
    );

    page.push_str(
        "<section>\n<h2>Every token through time</h2>\n<div class=\"scroll\"><table class=\"time\">\n<tr><th></th>",
    );
    for &day in &gallery.looks {
        push(&mut page, format_args!("<th>{}</th>", &gallery.days[day].date[..7]));
    }
    page.push_str("</tr>\n");
    for token in &gallery.tokens {
        push(&mut page, format_args!("<tr><th>{token}</th>"));
        for &day in &gallery.looks {
            match gallery.frame(token, day) {
                Some(frame) => push(
                    &mut page,
                    format_args!(
                        "<td><img loading=\"lazy\" src=\"{}\" width=\"64\" height=\"64\" alt=\"\" title=\"{}\"></td>",
                        file(gallery, frame),
                        caption(frame)
                    ),
                ),
                None => page.push_str("<td></td>"),
            }
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</table></div>\n</section>\n");

    page.push_str(
        "<section>\n<h2>What it costs</h2>\n<table class=\"cost\">\n<tr><th></th><th>products</th><th>inference,<br>SDK gas</th>\
         <th>whole call,<br>SDK gas</th><th>ms</th><th>in guest Wasm,<br>SDK gas</th><th>ms</th><th>times<br>the gas</th></tr>\n",
    );
    for row in rows {
        push(
            &mut page,
            format_args!(
                "<tr><th>{}</th><td>{}</td><td>{}</td><td>{}</td><td>{:.2}</td><td>{}</td><td>{:.2}</td><td>{:.1}</td></tr>\n",
                row.what,
                if row.macs == 0 { "–".to_owned() } else { grouped(row.macs) },
                grouped(sdk(row.price)),
                grouped(sdk(row.call.gas)),
                row.call.time.as_secs_f64() * 1e3,
                grouped(sdk(row.guest.gas)),
                row.guest.time.as_secs_f64() * 1e3,
                row.ratio(),
            ),
        );
    }
    let [mint, post, transfer] = gallery.gas.map(|gas| grouped(sdk(gas)));
    push(
        &mut page,
        format_args!(
            "</table>\n<p>The same integers from both ways, compared. No model runs in a mint ({mint} SDK gas), a posted price \
             ({post}) or a transfer ({transfer}). Every picture above was drawn a second time from the inputs that the \
             contract keeps, and came out the same to the byte.</p>\n</section>\n"
        ),
    );
    push(
        &mut page,
        format_args!(
            "<script>\nconst data = {};\n{SCRIPT}</script>\n</html>\n",
            data(gallery)
        ),
    );
    page
}

/// The price as a line, with a mark for every look.
fn chart(page: &mut String, gallery: &Gallery) {
    let values: Vec<f64> = gallery.days.iter().map(|day| day.value()).collect();
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(0.0, f64::max);
    let x = |day: usize| day as f64 / (values.len() - 1) as f64 * WIDTH;
    let y = |value: f64| (high - value) / (high - low).max(1e-9) * (HEIGHT - 20.0) + 10.0;
    let line: Vec<String> = values
        .iter()
        .enumerate()
        .map(|(day, v)| format!("{:.1},{:.1}", x(day), y(*v)))
        .collect();
    push(
        page,
        format_args!(
            "<svg id=\"chart\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"price\"><polygon points=\"0,{HEIGHT} {0} {WIDTH},{HEIGHT}\"/>\
             <polyline points=\"{0}\"/>",
            line.join(" ")
        ),
    );
    for (look, &day) in gallery.looks.iter().enumerate() {
        push(
            page,
            format_args!(
                "<circle data-look=\"{look}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"4\"/>",
                x(day),
                y(values[day])
            ),
        );
    }
    page.push_str("</svg>\n");
}

fn caption(frame: &Frame) -> String {
    let inputs = &frame.art.inputs;
    let times = |n: u64| {
        if n == 1 {
            "once".to_owned()
        } else {
            format!("{n} times")
        }
    };
    let moved = match inputs.transfers {
        0 => "never sold".to_owned(),
        n => format!("sold {}", times(n)),
    };
    let days = if inputs.days_held == 1 { "day" } else { "days" };
    format!("{} for {} {days}, {moved}", frame.owner, inputs.days_held)
}

/// What the script shows for each look.
fn data(gallery: &Gallery) -> serde_json::Value {
    let looks = gallery.looks.iter().map(|&day| {
        let tokens: serde_json::Map<_, _> = gallery
            .tokens
            .iter()
            .filter_map(|token| {
                let frame = gallery.frame(token, day)?;
                let shown = serde_json::json!({ "file": file(gallery, frame), "caption": caption(frame) });
                Some((token.to_string(), shown))
            })
            .collect();
        serde_json::json!({ "date": gallery.days[day].date, "price": gallery.days[day].price, "tokens": tokens })
    });
    looks.collect()
}

/// Writing to a String never fails.
fn push(page: &mut String, text: std::fmt::Arguments) {
    let _ = page.write_fmt(text);
}
