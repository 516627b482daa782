//! Pictures side by side in one PNG file.

use std::{fs, io::Cursor, path::Path};

use anyhow::{Context, Result};

use crate::gallery::Gallery;

/// Width and height of a picture.
const SIZE: usize = 64;
/// Pixels between two.
const GAP: usize = 3;
const BACKGROUND: [u8; 3] = [16, 18, 27];
const COLUMNS: usize = 7;
const ROWS: usize = 4;

/// Writes a row a token and a column a look, spread over the whole time; the number of bytes.
pub fn write(path: &Path, gallery: &Gallery) -> Result<usize> {
    // Every column should show every token.
    let complete = |day: &&usize| {
        gallery.tokens[..ROWS]
            .iter()
            .all(|token| gallery.frame(token, **day).is_some())
    };
    let looks: Vec<usize> = gallery.looks.iter().filter(complete).copied().collect();
    let columns = COLUMNS.min(looks.len());
    let (width, height) = (columns * (SIZE + GAP) + GAP, ROWS * (SIZE + GAP) + GAP);
    let mut sheet = BACKGROUND.repeat(width * height);
    for (row, token) in gallery.tokens[..ROWS].iter().enumerate() {
        for column in 0..columns {
            let day = looks[column * (looks.len() - 1) / (columns - 1).max(1)];
            let Some(frame) = gallery.frame(token, day) else {
                continue;
            };
            let pixels = decode(&frame.png)?;
            for (y, line) in pixels.chunks(SIZE * 3).enumerate() {
                let start = ((GAP + row * (SIZE + GAP) + y) * width + GAP + column * (SIZE + GAP)) * 3;
                sheet[start..start + line.len()].copy_from_slice(line);
            }
        }
    }

    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width as u32, height as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_compression(png::Compression::High);
    encoder.set_filter(png::Filter::Adaptive);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&sheet)?;
    writer.finish()?;
    fs::write(path, &file).with_context(|| format!("writing {}", path.display()))?;
    Ok(file.len())
}

/// The RGB pixels of a token's picture.
pub fn decode(file: &[u8]) -> Result<Vec<u8>> {
    let mut reader = png::Decoder::new(Cursor::new(file)).read_info()?;
    let mut pixels = vec![0; reader.output_buffer_size().context("the picture is too large")?];
    reader.next_frame(&mut pixels)?;
    Ok(pixels)
}
