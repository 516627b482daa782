//! From a mood to a picture: an SVG of a landscape, drawn in whole numbers.

use std::fmt::Write;

use base64::{engine::general_purpose::STANDARD, Engine};
use cosmwasm_std::SignedDecimal;
use cw721::state::Trait;

use crate::{
    msg::{Artwork, Picture},
    refresh::MOOD,
    state::Token,
};

/// What the model's numbers stand for.
const NAMES: [&str; MOOD] = [
    "Warmth", "Light", "Storm", "Unrest", "Bloom", "Wander", "Patina", "Dream",
];

/// Width and height of a picture.
const SIZE: i32 = 320;

/// The token's metadata with its picture.
pub fn artwork(collection: &str, token_id: &str, token: Token) -> Artwork {
    let svg = match &token.picture {
        Some(picture) => landscape(token_id, levels(&picture.mood)),
        None => blank(),
    };
    let mut image = String::from("data:image/svg+xml;base64,");
    STANDARD.encode_string(svg, &mut image);
    Artwork {
        name: format!("{collection} {token_id}"),
        description: "A landscape whose weather a model on another chain decides.".to_owned(),
        image,
        attributes: attributes(&token),
        asked: token.asked,
        picture: token.picture,
        failure: token.failure,
    }
}

fn attributes(token: &Token) -> Vec<Trait> {
    let state = match (&token.asked, &token.failure, &token.picture) {
        (Some(_), _, _) => "an answer is awaited".to_owned(),
        (None, Some(failure), _) => format!("the last question failed: error {}", failure.code),
        (None, None, Some(_)) => "up to date".to_owned(),
        (None, None, None) => "never asked for".to_owned(),
    };
    let mut list = vec![Trait {
        display_type: None,
        trait_type: "State".to_owned(),
        value: state,
    }];
    let number = |name: &str, value: String| Trait {
        display_type: Some("number".to_owned()),
        trait_type: name.to_owned(),
        value,
    };
    if let Some(Picture { mood, height, .. }) = &token.picture {
        list.push(number("Height", height.to_string()));
        list.extend(
            NAMES
                .iter()
                .zip(levels(mood))
                .map(|(name, level)| number(name, level.to_string())),
        );
    }
    list
}

/// Numbers in -1..=1 as 0..=100.
fn levels(mood: &[SignedDecimal]) -> [i32; MOOD] {
    let mut levels = [50; MOOD];
    for (level, value) in levels.iter_mut().zip(mood) {
        let percent = value.atomics().i128() / (SignedDecimal::one().atomics().i128() / 100);
        // Within 0..=100.
        *level = ((percent.clamp(-100, 100) + 100) / 2) as i32;
    }
    levels
}

fn blank() -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {SIZE} {SIZE}\"><rect width=\"{SIZE}\" height=\"{SIZE}\" \
         fill=\"#d8d8d8\"/><text x=\"160\" y=\"168\" font-size=\"24\" text-anchor=\"middle\" fill=\"#888\">no answer yet</text></svg>"
    )
}

fn landscape(token_id: &str, mood: [i32; MOOD]) -> String {
    let [warmth, light, storm, unrest, bloom, wander, patina, dream] = mood;
    let mut chance = Chance::new(token_id);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {SIZE} {SIZE}\"><defs><linearGradient id=\"s\" x2=\"0\" y2=\"1\">\
         <stop stop-color=\"hsl({},60%,{}%)\"/><stop offset=\"1\" stop-color=\"hsl({},70%,{}%)\"/></linearGradient></defs>\
         <rect width=\"{SIZE}\" height=\"{SIZE}\" fill=\"url(#s)\"/>",
        230 - warmth / 4,
        15 + light / 2,
        40 - (warmth - 50) / 3,
        35 + light / 2,
    );
    for _ in 0..dream / 4 {
        let (x, y) = (chance.below(SIZE), chance.below(SIZE / 2));
        put(
            &mut svg,
            format_args!("<circle cx=\"{x}\" cy=\"{y}\" r=\"1\" fill=\"#fff\"/>"),
        );
    }
    put(
        &mut svg,
        format_args!(
            "<circle cx=\"{}\" cy=\"{}\" r=\"{}\" fill=\"hsl({},90%,{}%)\"/>",
            40 + chance.below(SIZE - 80),
            170 - light,
            16 + warmth / 5,
            30 + light / 4,
            50 + light / 3,
        ),
    );
    for _ in 0..storm / 12 {
        let (x, y) = (chance.below(SIZE), 30 + chance.below(70));
        let grey = 90 - storm / 2;
        put(
            &mut svg,
            format_args!(
                "<ellipse cx=\"{x}\" cy=\"{y}\" rx=\"48\" ry=\"16\" fill=\"hsl(220,12%,{grey}%)\" opacity=\".8\"/>"
            ),
        );
    }
    for ridge in 0..3 {
        let base = 170 + 35 * ridge;
        put(&mut svg, format_args!("<path d=\"M0 {SIZE}"));
        for x in (0..=SIZE).step_by(32) {
            let y = base - chance.below(10 + unrest * (3 - ridge) / 3);
            put(&mut svg, format_args!("L{x} {y}"));
        }
        let (hue, bright) = (100 + 30 * (2 - ridge), 20 + light / 5 + 6 * (2 - ridge));
        put(
            &mut svg,
            format_args!("L{SIZE} {SIZE}Z\" fill=\"hsl({hue},{}%,{bright}%)\"/>", 15 + bloom / 3),
        );
    }
    for _ in 0..bloom / 5 {
        let (x, y, hue) = (chance.below(SIZE), 265 + chance.below(50), chance.below(360));
        put(
            &mut svg,
            format_args!("<circle cx=\"{x}\" cy=\"{y}\" r=\"4\" fill=\"hsl({hue},80%,65%)\"/>"),
        );
    }
    for _ in 0..wander / 20 {
        let (x, y) = (20 + chance.below(SIZE - 60), 60 + chance.below(80));
        put(
            &mut svg,
            format_args!("<path d=\"M{x} {y}q6-8 12 0q6-8 12 0\" fill=\"none\" stroke=\"#222\" stroke-width=\"2\"/>"),
        );
    }
    for _ in 0..(storm - 50).max(0) {
        let (x, y) = (chance.below(SIZE), chance.below(SIZE));
        put(
            &mut svg,
            format_args!("<path d=\"M{x} {y}l-4 14\" stroke=\"#cde\" opacity=\".6\"/>"),
        );
    }
    put(
        &mut svg,
        format_args!(
            "<rect x=\"3\" y=\"3\" width=\"314\" height=\"314\" fill=\"none\" stroke=\"hsl(35,{patina}%,40%)\" stroke-width=\"6\"/></svg>"
        ),
    );
    svg
}

fn put(svg: &mut String, part: std::fmt::Arguments) {
    // A String grows, so there is always room.
    svg.write_fmt(part).ok();
}

/// A token's own play of chance, always the same.
struct Chance(u64);

impl Chance {
    fn new(token_id: &str) -> Self {
        // FNV-1a: spread well enough for places in a picture.
        Chance(token_id.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        }))
    }

    /// A number from 0 to below `limit`, which is positive.
    fn below(&mut self, limit: i32) -> i32 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        // 31 bits.
        (self.0 >> 33) as i32 % limit.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mood_gives_a_whole_picture_of_bounded_size() {
        for level in [0, 50, 100] {
            let svg = landscape("a token", [level; MOOD]);
            assert!(svg.starts_with("<svg") && svg.ends_with("</svg>"));
            assert_eq!(svg.matches('<').count(), svg.matches('>').count());
            assert!(svg.len() < 16_000, "{}", svg.len());
        }
    }

    #[test]
    fn tokens_and_moods_make_different_pictures_and_the_same_ones_the_same() {
        let calm = [50; MOOD];
        let mut stormy = calm;
        stormy[2] = 100;
        assert_eq!(landscape("1", calm), landscape("1", calm));
        assert_ne!(landscape("1", calm), landscape("2", calm));
        assert_ne!(landscape("1", calm), landscape("1", stormy));
    }

    #[test]
    fn levels_end_at_the_range() {
        let of = |text: &str| levels(&[text.parse().unwrap()])[0];
        assert_eq!(["-7", "-1", "0", "0.5", "1", "9"].map(of), [0, 0, 50, 75, 100, 100]);
        assert_eq!(levels(&[])[7], 50);
    }
}
