//! Pixels as a PNG file.

/// Largest stored deflate block.
const BLOCK: usize = 65_535;

/// A PNG file of 8-bit RGB pixels, row by row from the top: `width * height * 3` bytes. Missing pixels are black.
///
/// Rows are stored without compression: in a contract the compressor would cost more gas than its bytes.
pub fn encode(width: u32, height: u32, rgb: &[u8]) -> Vec<u8> {
    let mut file = Vec::with_capacity(rgb.len() + height as usize + 128);
    file.extend_from_slice(&[0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n']);

    let mut header = Vec::with_capacity(13);
    header.extend_from_slice(&width.to_be_bytes());
    header.extend_from_slice(&height.to_be_bytes());
    // 8 bits, RGB, deflate, adaptive filters, not interlaced.
    header.extend_from_slice(&[8, 2, 0, 0, 0]);
    chunk(&mut file, b"IHDR", &header);

    let row = width as usize * 3;
    let mut raw = Vec::with_capacity((row + 1) * height as usize);
    for y in 0..height as usize {
        raw.push(0);
        let start = (y * row).min(rgb.len());
        let end = (start + row).min(rgb.len());
        raw.extend_from_slice(&rgb[start..end]);
        raw.resize((row + 1) * (y + 1), 0);
    }
    chunk(&mut file, b"IDAT", &zlib(&raw));
    chunk(&mut file, b"IEND", &[]);
    file
}

fn chunk(file: &mut Vec<u8>, kind: &[u8; 4], data: &[u8]) {
    file.extend_from_slice(&(data.len() as u32).to_be_bytes());
    let start = file.len();
    file.extend_from_slice(kind);
    file.extend_from_slice(data);
    let crc = crc32(&file[start..]);
    file.extend_from_slice(&crc.to_be_bytes());
}

/// A zlib stream of stored blocks.
fn zlib(data: &[u8]) -> Vec<u8> {
    let mut stream = Vec::with_capacity(data.len() + 16);
    stream.extend_from_slice(&[0x78, 0x01]);
    let blocks = data.len().div_ceil(BLOCK).max(1);
    for block in 0..blocks {
        let part = &data[block * BLOCK..data.len().min((block + 1) * BLOCK)];
        // At most BLOCK.
        let length = part.len() as u16;
        stream.push(u8::from(block + 1 == blocks));
        stream.extend_from_slice(&length.to_le_bytes());
        stream.extend_from_slice(&(!length).to_le_bytes());
        stream.extend_from_slice(part);
    }
    stream.extend_from_slice(&adler32(data).to_be_bytes());
    stream
}

fn adler32(data: &[u8]) -> u32 {
    let (mut a, mut b) = (1u32, 0u32);
    // 5552 is the most bytes before b, at 255 each, could pass 2^32.
    for part in data.chunks(5552) {
        for &byte in part {
            a += u32::from(byte);
            b += a;
        }
        a %= 65_521;
        b %= 65_521;
    }
    b << 16 | a
}

const CRC_TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        let mut crc = i as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 {
                0xedb8_8320 ^ (crc >> 1)
            } else {
                crc >> 1
            };
            bit += 1;
        }
        table[i] = crc;
        i += 1;
    }
    table
};

fn crc32(data: &[u8]) -> u32 {
    !data.iter().fold(!0, |crc: u32, &byte| {
        CRC_TABLE[((crc ^ u32::from(byte)) & 0xff) as usize] ^ (crc >> 8)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Reads a file back with another implementation.
    fn decode(file: &[u8]) -> (u32, u32, Vec<u8>) {
        let mut reader = ::png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!(
            (info.color_type, info.bit_depth),
            (::png::ColorType::Rgb, ::png::BitDepth::Eight)
        );
        pixels.truncate(info.buffer_size());
        (info.width, info.height, pixels)
    }

    #[test]
    fn checksums_have_their_published_values() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(adler32(b"Wikipedia"), 0x11e6_0398);
    }

    #[test]
    fn a_picture_of_several_blocks_is_whole() {
        let pixels: Vec<u8> = (0..200 * 150 * 3).map(|i| (i * 7 % 251) as u8).collect();
        assert_eq!(decode(&encode(200, 150, &pixels)), (200, 150, pixels));
    }

    #[test]
    fn missing_pixels_are_black() {
        assert_eq!(
            decode(&encode(2, 2, &[1, 2, 3])),
            (2, 2, vec![1, 2, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0])
        );
    }

    proptest! {
        #[test]
        fn pixels_survive(width in 1u32..20, height in 1u32..20, seed in any::<u8>()) {
            let pixels: Vec<u8> = (0..width * height * 3).map(|i| (i as u8).wrapping_mul(seed)).collect();
            prop_assert_eq!(decode(&encode(width, height, &pixels)), (width, height, pixels));
        }
    }
}
