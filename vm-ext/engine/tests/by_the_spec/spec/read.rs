//! `model-format.md`: bytes to a graph.

use std::ops::Range;

use super::{
    rule, Array, Graph, Input, Kind, Limits, Op, Output, Refused, Rescale, Scan, Scanned, State, Trees, Type, Window,
};

/// Both sections, each read from its start to its end.
struct Reader<'a> {
    graph: &'a [u8],
    weights: &'a [u8],
    /// How far the weights were read.
    at: usize,
    /// How many bytes of the graph were left before each number, and after it.
    numbers: Vec<(usize, usize)>,
}

/// Where the numbers of the graph section stand, as far as they can be read.
pub fn numbers(graph: &[u8], weights: &[u8], limits: &Limits) -> Vec<Range<usize>> {
    let mut reader = Reader {
        graph,
        weights,
        at: 0,
        numbers: vec![],
    };
    let _ = reader.read(limits);
    let from_the_end = reader.numbers.iter();
    from_the_end
        .map(|(before, after)| graph.len() - before..graph.len() - after)
        .collect()
}

pub fn graph(graph: &[u8], weights: &[u8], limits: &Limits) -> Result<Graph, Refused> {
    Reader {
        graph,
        weights,
        at: 0,
        numbers: vec![],
    }
    .read(limits)
}

impl Reader<'_> {
    fn read(&mut self, limits: &Limits) -> Result<Graph, Refused> {
        let r = self;
        for byte in *b"aiig" {
            rule(r.byte()? == byte, "the magic")?;
        }
        rule(r.u()? == 0, "the format version is 0")?;
        rule(r.u()? <= 1, "the op-set is not above the engine's")?;

        let mut keys = vec![];
        let header = r.list(|r| Ok((r.u()?, r.flag()?, r.bytes()?)))?;
        for (key, critical, _) in &header {
            rule(keys.last().is_none_or(|last| last < key), "header keys ascend")?;
            keys.push(*key);
            rule(matches!(key, 1 | 2) || !critical, "a critical header key is known")?;
        }
        rule(header.len() <= limits.max_header_entries, "the limit of header entries")?;
        let header_bytes: usize = header.iter().map(|(_, _, value)| value.len()).sum();
        rule(header_bytes <= limits.max_header_bytes, "the limit of header bytes")?;

        let inputs = r.list(|r| {
            let name = r.text()?;
            let shape = r.numbers()?;
            let fraction_bits = r.s()?;
            let (low, high) = (r.s()?, r.s()?);
            r.flag()?;
            Ok(Input {
                name,
                ty: Type {
                    shape,
                    low,
                    high,
                    row_sum: None,
                },
                fraction_bits,
            })
        })?;
        let nodes = r.list(|r| r.node(false))?;
        let outputs = r.list(|r| {
            Ok(Output {
                name: r.text()?,
                value: r.number()?,
                fraction_bits: r.s()?,
                labels: r.list(Reader::text)?,
            })
        })?;
        rule(r.graph.is_empty(), "nothing follows the outputs")?;
        rule(r.at == r.weights.len(), "nothing follows the last array")?;
        Ok(Graph { inputs, nodes, outputs })
    }

    fn byte(&mut self) -> Result<u8, Refused> {
        let (first, rest) = self.graph.split_first().ok_or("the graph goes on")?;
        self.graph = rest;
        Ok(*first)
    }

    /// Unsigned LEB128 in its shortest form, at most `most`.
    fn leb128(&mut self, most: u128) -> Result<u128, Refused> {
        let mut n = 0;
        let before = self.graph.len();
        for position in 0.. {
            let byte = self.byte()?;
            rule(position < 10, "a number has an end")?;
            n |= u128::from(byte & 127) << (7 * position);
            if byte & 128 == 0 {
                rule(byte != 0 || position == 0, "the shortest form of a number")?;
                break;
            }
        }
        rule(n <= most, "a number is not too large")?;
        self.numbers.push((before, self.graph.len()));
        Ok(n)
    }

    fn u(&mut self) -> Result<i128, Refused> {
        Ok(self.leb128(u32::MAX.into())? as i128)
    }

    fn number(&mut self) -> Result<usize, Refused> {
        Ok(self.u()? as usize)
    }

    fn s(&mut self) -> Result<i128, Refused> {
        let n = self.u()?;
        Ok(if n % 2 == 0 { n / 2 } else { -(n + 1) / 2 })
    }

    fn flag(&mut self) -> Result<bool, Refused> {
        let byte = self.byte()?;
        rule(byte <= 1, "a flag is 0 or 1")?;
        Ok(byte == 1)
    }

    fn bytes(&mut self) -> Result<Vec<u8>, Refused> {
        self.list(Reader::byte)
    }

    fn text(&mut self) -> Result<String, Refused> {
        String::from_utf8(self.bytes()?).map_err(|_| "text is UTF-8".into())
    }

    fn list<T>(&mut self, mut element: impl FnMut(&mut Self) -> Result<T, Refused>) -> Result<Vec<T>, Refused> {
        let mut list = vec![];
        for _ in 0..self.u()? {
            list.push(element(self)?);
        }
        Ok(list)
    }

    fn numbers(&mut self) -> Result<Vec<usize>, Refused> {
        self.list(Reader::number)
    }

    /// An array of elements of `size` bytes: its count in the graph, its numbers in the weights.
    fn integers(&mut self, size: usize) -> Result<Vec<i128>, Refused> {
        let count = self.leb128(u64::MAX.into())?;
        if count == 0 {
            return Ok(vec![]);
        }
        while !self.at.is_multiple_of(8) {
            rule(self.weights.get(self.at) == Some(&0), "bytes skipped are zero")?;
            self.at += 1;
        }
        let rest = &self.weights[self.at..];
        rule(count * size as u128 <= rest.len() as u128, "the weights go on")?;
        let data = &rest[..count as usize * size];
        self.at += data.len();
        let little_endian = |bytes: &[u8]| {
            let unsigned = bytes.iter().rev().fold(0, |n, byte| n << 8 | i128::from(*byte));
            let bits = 8 * size;
            if unsigned >> (bits - 1) == 1 {
                unsigned - (1 << bits)
            } else {
                unsigned
            }
        };
        Ok(data.chunks(size).map(little_endian).collect())
    }

    fn array(&mut self) -> Result<Array, Refused> {
        let element = self.byte()?;
        rule(element <= 3, "an element type")?;
        Ok(Array {
            bits: 8 << element,
            data: self.integers(1 << element)?,
        })
    }

    fn rescale(&mut self) -> Result<Rescale, Refused> {
        let multipliers = self.integers(4)?;
        let shifts = self.integers(1)?.into_iter().map(|shift| shift & 255).collect();
        Ok(Rescale {
            multipliers,
            shifts,
            low: self.s()?,
            high: self.s()?,
        })
    }

    /// `multiplier s, shift byte, low s, high s`.
    fn one_rescale(&mut self) -> Result<Rescale, Refused> {
        Ok(Rescale::one(self.s()?, self.byte()?.into(), self.s()?, self.s()?))
    }

    fn window(&mut self) -> Result<Window, Refused> {
        let mut pair = || Ok::<_, Refused>([self.u()?, self.u()?]);
        let (kernel, strides, dilations) = (pair()?, pair()?, pair()?);
        let ([top, left], [bottom, right]) = (pair()?, pair()?);
        Ok(Window {
            kernel,
            strides,
            dilations,
            padding: [top, left, bottom, right],
        })
    }

    fn node(&mut self, in_body: bool) -> Result<Op, Refused> {
        // Fields are read in the order in which they are written here.
        Ok(match self.u()? {
            0 => Op::Constant {
                shape: self.numbers()?,
                data: self.array()?,
            },
            1 => Op::MatMul {
                x: self.number()?,
                weights: self.array()?,
                bias: self.integers(8)?,
                rescale: self.rescale()?,
            },
            2 => Op::Conv2d {
                x: self.number()?,
                weights: self.array()?,
                channels: self.u()?,
                bias: self.integers(8)?,
                window: self.window()?,
                groups: self.u()?,
                rescale: self.rescale()?,
            },
            3 => Op::Rescale {
                x: self.number()?,
                axis: self.number()?,
                bias: self.integers(8)?,
                rescale: self.rescale()?,
            },
            4 => Op::Add {
                a: self.number()?,
                b: self.number()?,
                multipliers: [self.s()?, self.s()?],
                shift: self.byte()?.into(),
                low: self.s()?,
                high: self.s()?,
            },
            5 => Op::Mul {
                a: self.number()?,
                b: self.number()?,
                multiplier: self.s()?,
                shift: self.byte()?.into(),
                low: self.s()?,
                high: self.s()?,
            },
            6 => Op::Clamp {
                x: self.number()?,
                low: self.s()?,
                high: self.s()?,
            },
            7 => Op::Table {
                x: self.number()?,
                table: self.integers(2)?,
            },
            8 => Op::Softmax {
                x: self.number()?,
                multiplier: self.s()?,
                shift: self.byte()?.into(),
            },
            9 => Op::MaxPool2d {
                x: self.number()?,
                window: self.window()?,
            },
            10 => Op::AvgPool2d {
                x: self.number()?,
                window: self.window()?,
                count_padding: self.flag()?,
            },
            11 => Op::Upsample2d {
                x: self.number()?,
                factors: [self.number()?, self.number()?],
            },
            12 => Op::Reshape {
                x: self.number()?,
                shape: self.numbers()?,
            },
            13 => Op::Transpose {
                x: self.number()?,
                axes: self.numbers()?,
            },
            14 => Op::Concat {
                xs: self.numbers()?,
                axis: self.number()?,
            },
            15 => Op::Slice {
                x: self.number()?,
                axis: self.number()?,
                start: self.number()?,
                step: self.number()?,
                length: self.number()?,
            },
            16 => Op::ArgMax { x: self.number()? },
            17 => Op::TreeEnsemble(Trees {
                x: self.number()?,
                roots: self.integers(4)?,
                features: self.integers(4)?,
                thresholds: self.integers(4)?,
                left: self.integers(4)?,
                right: self.integers(4)?,
                leaf_starts: self.integers(4)?,
                targets: self.integers(4)?,
                weights: self.integers(4)?,
                base: self.integers(8)?,
                rescale: self.rescale()?,
            }),
            18 => Op::BatchMatMul {
                a: self.number()?,
                b: self.number()?,
                transposed: self.flag()?,
                rescale: self.one_rescale()?,
            },
            19 => Op::Min {
                a: self.number()?,
                b: self.number()?,
            },
            20 => Op::Max {
                a: self.number()?,
                b: self.number()?,
            },
            21 => Op::Compare {
                a: self.number()?,
                b: self.number()?,
                kind: match self.byte()? {
                    0 => Kind::Less,
                    1 => Kind::LessEqual,
                    2 => Kind::Equal,
                    _ => return Err("a kind of comparison".into()),
                },
            },
            22 => Op::Select {
                condition: self.number()?,
                a: self.number()?,
                b: self.number()?,
            },
            23 => Op::Div {
                a: self.number()?,
                b: self.number()?,
                shift: self.byte()?.into(),
                low: self.s()?,
                high: self.s()?,
            },
            24 => Op::Sqrt {
                x: self.number()?,
                shift: self.byte()?.into(),
                low: self.s()?,
                high: self.s()?,
            },
            25 => Op::LayerNorm {
                x: self.number()?,
                epsilon: self.leb128(u64::MAX.into())? as i128,
                center: self.flag()?,
                bias: self.integers(8)?,
                rescale: self.rescale()?,
            },
            26 => Op::ReduceSum {
                x: self.number()?,
                axis: self.number()?,
                rescale: self.one_rescale()?,
            },
            27 => Op::ReduceMax {
                x: self.number()?,
                axis: self.number()?,
            },
            28 => Op::Gather {
                x: self.number()?,
                indices: self.number()?,
                axis: self.number()?,
            },
            29 => Op::GatherElements {
                x: self.number()?,
                indices: self.number()?,
            },
            30 => Op::TopK {
                x: self.number()?,
                k: self.number()?,
            },
            31 => Op::Pad {
                x: self.number()?,
                before: self.numbers()?,
                after: self.numbers()?,
                value: self.s()?,
            },
            32 => Op::Broadcast {
                x: self.number()?,
                shape: self.numbers()?,
            },
            33 if !in_body => Op::Scan(Scan {
                count: self.number()?,
                states: self.list(|r| {
                    Ok(State {
                        initial: r.number()?,
                        low: r.s()?,
                        high: r.s()?,
                        result: r.number()?,
                        kept: r.flag()?,
                    })
                })?,
                scanned: self.list(|r| {
                    Ok(Scanned {
                        x: r.number()?,
                        axis: r.number()?,
                        reverse: r.flag()?,
                    })
                })?,
                captured: self.numbers()?,
                body: self.list(|r| r.node(true))?,
                collected: self.numbers()?,
            }),
            _ => return Err("a known tag".into()),
        })
    }
}
