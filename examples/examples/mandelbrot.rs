//! The Mandelbrot set as a picture, its rows computed by a pool.
//!
//! ```text
//! cargo run --release -p deploy-examples --example mandelbrot                      # writes mandelbrot.png
//! cargo run --release -p deploy-examples --example mandelbrot -- 1920 1080 set.png
//! ```
//!
//! Rows take very different times: those through the set's middle a hundred times as long as those at the edge. The pool
//! gives each worker the next row when it is about to be done with the one before, so all are busy to the end.

use deploy::*;
use serde::{Deserialize, Serialize};
use std::{env, error::Error, fs::File, io::Write, process};

static POOL: Pool = Pool::new().replicas(4..=4);

/// What is looked at, and by how many points.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct View {
    width: u32,
    height: u32,
}

impl View {
    /// One row of the picture, three bytes for each point.
    #[on(POOL)]
    fn row(&self, y: u32) -> Vec<u8> {
        let scale = 3.0 / f64::from(self.width);
        let imaginary = (f64::from(y) - f64::from(self.height) / 2.0) * scale;
        let colour = |x: u32| {
            let real = f64::from(x) * scale - 2.2;
            colour(steps(real, imaginary))
        };
        (0..self.width).flat_map(colour).collect()
    }
}

/// After how many steps the point leaves; nothing, if it stays.
fn steps(real: f64, imaginary: f64) -> Option<u32> {
    let (mut x, mut y) = (0.0, 0.0);
    (0..STEPS_MAX).find(|_| {
        (x, y) = (x * x - y * y + real, 2.0 * x * y + imaginary);
        x * x + y * y > 4.0
    })
}

/// Black inside, and outside a hue that goes round with the steps.
fn colour(steps: Option<u32>) -> [u8; 3] {
    let Some(steps) = steps else { return [0; 3] };
    let wave = |phase: f64| {
        let angle = f64::from(steps).sqrt() * 0.7 + phase;
        (127.5 + 127.5 * angle.cos()) as u8
    };
    [wave(3.4), wave(4.2), wave(5.0)]
}

fn main() -> Result<(), Box<dyn Error>> {
    init(Resources::default());
    let Some((view, path)) = arguments() else {
        eprintln!("usage: mandelbrot [WIDTH HEIGHT [FILE]], each at least 1");
        process::exit(2);
    };
    let mut points = Vec::new();
    for row in POOL.map(|y| view.row(y), 0..view.height) {
        points.push(0); // Before each row PNG wants to be told how it is filtered: not at all.
        points.extend(row?);
    }
    File::create(&path)?.write_all(&png(view, &points))?;
    println!("{path}: {} x {} points", view.width, view.height);
    Ok(())
}

fn arguments() -> Option<(View, String)> {
    let mut args = env::args().skip(1);
    let mut size = |default: u32| match args.next() {
        None => Some(default),
        Some(text) => text.parse().ok().filter(|size| *size > 0),
    };
    let (width, height) = (size(900)?, size(600)?);
    let path = args.next().unwrap_or_else(|| "mandelbrot.png".to_string());
    Some((View { width, height }, path))
}

/// The picture as a file: a header, the points, an end. They are not compressed, so that this needs no library.
fn png(view: View, points: &[u8]) -> Vec<u8> {
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut header = Vec::new();
    header.extend(view.width.to_be_bytes());
    header.extend(view.height.to_be_bytes());
    header.extend([8, 2, 0, 0, 0]); // Bits for each of three colours.
    chunk(&mut file, b"IHDR", &header);
    chunk(&mut file, b"IDAT", &stored(points));
    chunk(&mut file, b"IEND", &[]);
    file
}

fn chunk(file: &mut Vec<u8>, kind: &[u8; 4], content: &[u8]) {
    file.extend((content.len() as u32).to_be_bytes());
    let start = file.len();
    file.extend(kind);
    file.extend(content);
    file.extend(crc(&file[start..]).to_be_bytes());
}

/// A zlib stream of blocks that are as they are, and the sum at its end.
fn stored(bytes: &[u8]) -> Vec<u8> {
    let mut stream = vec![0x78, 0x01];
    let mut blocks = bytes.chunks(0xffff).peekable();
    while let Some(block) = blocks.next() {
        let length = block.len() as u16;
        stream.push(u8::from(blocks.peek().is_none()));
        stream.extend(length.to_le_bytes());
        stream.extend((!length).to_le_bytes());
        stream.extend(block);
    }
    let (mut low, mut high) = (1_u32, 0_u32);
    for byte in bytes {
        low = (low + u32::from(*byte)) % 65521;
        high = (high + low) % 65521;
    }
    stream.extend(((high << 16) | low).to_be_bytes());
    stream
}

fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    })
}

/// A point that has not left after so many is taken to be in the set.
const STEPS_MAX: u32 = 1000;
