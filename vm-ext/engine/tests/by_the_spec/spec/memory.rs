//! `numeric.md`, "Gas and memory": where tensors lie, and the declared peak.

use super::{infer, Array, Graph, Op, Scan, Trees, Type};

/// Numbers of elements of 16, 32 and 64 bits.
pub type Sizes = [u64; 3];

pub fn peak(graph: &Graph, types: &[Type]) -> u64 {
    let kept: Vec<usize> = graph.outputs.iter().map(|output| output.value).collect();
    let pools = pools(graph.inputs.len(), &graph.nodes, types, &kept);
    let scratch = most_scratch(graph.inputs.len(), &graph.nodes, types);
    let returned: u64 = kept.iter().map(|value| elements(&types[*value])).sum();
    2 * (pools[0] + scratch[0]) + 4 * (pools[1] + scratch[1]) + 8 * scratch[2] + 4 * returned
}

fn elements(ty: &Type) -> u64 {
    ty.shape.iter().map(|extent| *extent as u64).product()
}

pub fn fits_16_bits(ty: &Type) -> bool {
    ty.low >= -32768 && ty.high <= 32767
}

/// The places of one pool that are free, ascending, and its end.
#[derive(Default)]
struct Pool {
    holes: Vec<(u64, u64)>,
    end: u64,
}

impl Pool {
    fn take(&mut self, size: u64) -> u64 {
        let fitting = self
            .holes
            .iter()
            .enumerate()
            .filter(|(_, (from, to))| to - from >= size);
        let smallest = fitting.min_by_key(|(_, (from, to))| (to - from, *from)).map(|(i, _)| i);
        if let Some(i) = smallest {
            let (from, _) = self.holes[i];
            self.holes[i].0 += size;
            self.holes.retain(|(from, to)| from < to);
            return from;
        }
        let from = match self.holes.last() {
            Some((from, to)) if *to == self.end => *from,
            _ => self.end,
        };
        self.holes.retain(|hole| hole.0 != from);
        self.end = from + size;
        from
    }

    fn free(&mut self, from: u64, size: u64) {
        self.holes.push((from, from + size));
        self.holes.sort();
        let mut joined: Vec<(u64, u64)> = vec![];
        for (from, to) in self.holes.drain(..) {
            match joined.last_mut() {
                Some(last) if last.1 == from => last.1 = to,
                _ => joined.push((from, to)),
            }
        }
        self.holes = joined;
    }
}

/// The largest sizes of both pools.
fn pools(inputs: usize, nodes: &[Op], types: &[Type], kept: &[usize]) -> [u64; 2] {
    // The value whose place each value shares; none where that is a constant.
    let mut owner: Vec<Option<usize>> = (0..inputs).map(Some).collect();
    // The node after which the place of a value is free.
    let mut last: Vec<usize> = vec![0; types.len()];
    for (n, op) in nodes.iter().enumerate() {
        let value = inputs + n;
        owner.push(match op {
            Op::Constant { .. } => None,
            Op::Reshape { x, .. } => owner[*x],
            _ => Some(value),
        });
        last[value] = n;
        for x in op.operands() {
            if let Some(owner) = owner[x] {
                last[owner] = n;
            }
        }
    }
    for value in kept {
        if let Some(owner) = owner[*value] {
            last[owner] = usize::MAX;
        }
    }

    let mut pools = [Pool::default(), Pool::default()];
    let mut places = vec![0; types.len()];
    let pool_of = |value: usize| usize::from(!fits_16_bits(&types[value]));
    for value in 0..inputs {
        places[value] = pools[pool_of(value)].take(elements(&types[value]));
    }
    for n in 0..nodes.len() {
        let value = inputs + n;
        if owner[value] == Some(value) {
            places[value] = pools[pool_of(value)].take(elements(&types[value]));
        }
        for value in 0..=value {
            if owner[value] == Some(value) && last[value] == n {
                pools[pool_of(value)].free(places[value], elements(&types[value]));
            }
        }
    }
    pools.map(|pool| pool.end)
}

fn most_scratch(inputs: usize, nodes: &[Op], types: &[Type]) -> Sizes {
    let mut most = [0; 3];
    for (n, op) in nodes.iter().enumerate() {
        let scratch = scratch(op, &types[inputs + n], types);
        most = [0, 1, 2].map(|kind| scratch[kind].max(most[kind]));
    }
    most
}

/// How sums of products are taken.
#[derive(PartialEq)]
pub enum Sums {
    Bits32,
    Blocks,
    Bits64,
}

/// Of weights and an operand.
pub fn sums(weights: &Array, terms: usize, bias: &[i128], x: &Type) -> Sums {
    let magnitude = x.low.abs().max(x.high.abs());
    let l1 = |weights: &[i128]| weights.iter().map(|w| w.abs()).sum::<i128>();
    let narrow = |(c, row)| l1(row) * magnitude + bias.get(c).map_or(0, |bias: &i128| bias.abs()) < 1 << 31;
    let pairs = |row: &[i128]| row.chunks(2).all(|pair| l1(pair) * magnitude < 1 << 31);
    if !fits_16_bits(x) {
        Sums::Bits64
    } else if weights.data.chunks(terms).enumerate().all(narrow) {
        Sums::Bits32
    } else if weights.data.chunks(terms).all(pairs) {
        Sums::Blocks
    } else {
        Sums::Bits64
    }
}

/// Of two operands.
pub fn batch_sums(bound: i128, product: i128) -> Sums {
    if bound < 1 << 31 {
        Sums::Bits32
    } else if 2 * product < 1 << 31 {
        Sums::Blocks
    } else {
        Sums::Bits64
    }
}

/// Panels of 16 columns, and single columns.
pub fn panels(columns: u64) -> (u64, u64) {
    let rest = columns % 16;
    if rest <= 3 {
        (columns / 16, rest)
    } else {
        (columns / 16 + 1, 0)
    }
}

pub fn scratch(op: &Op, ty: &Type, types: &[Type]) -> Sizes {
    let columns = |x: &usize| *types[*x].shape.last().unwrap() as u64;
    match op {
        Op::MatMul { x, weights, bias, .. } => {
            let k = columns(x);
            let n = weights.data.len() as u64 / k;
            let rows = elements(&types[*x]) / k;
            let r = rows.min(48);
            let s = (16 * r * panels(n).0).min(1536);
            let bits32 = if weights.bits == 8 {
                2 * r * k.div_ceil(4) + s
            } else {
                s
            };
            match sums(weights, k as usize, bias, &types[*x]) {
                Sums::Bits64 => [0; 3],
                Sums::Bits32 => [0, bits32, 0],
                Sums::Blocks => [0, bits32, s],
            }
        }
        Op::Conv2d {
            x,
            weights,
            channels,
            bias,
            window,
            groups,
            ..
        } => {
            let group = types[*x].shape[1] as u64 / *groups as u64;
            let padded = |axis: usize| {
                types[*x].shape[2 + axis] as u64 + (window.padding[axis] + window.padding[axis + 2]) as u64
            };
            let p = if window.padding == [0; 4] {
                0
            } else {
                group * padded(0) * padded(1)
            };
            let taps = weights.data.len() as u64 / *channels as u64;
            let sums = sums(weights, taps as usize, bias, &types[*x]);
            let blocks = if sums == Sums::Blocks { 1536 } else { 0 };
            let [oh, ow] = [ty.shape[2] as u64, ty.shape[3] as u64];
            match sums {
                Sums::Bits64 => [0; 3],
                _ if *groups == 1 && *channels >= 16 && oh * ow < 16 => {
                    let image = &types[*x].shape[2..];
                    let whole =
                        window.padding == [0; 4] && (0..2).all(|axis| window.kernel[axis] as usize == image[axis]);
                    let r = (ty.shape[0] as u64 * oh * ow).min(48);
                    let (windows, results) = (if whole { 0 } else { r * taps }, r * *channels as u64);
                    let s = (16 * r * panels(*channels as u64).0).min(1536);
                    let packed = if weights.bits == 8 { 2 * r * taps.div_ceil(4) } else { 0 };
                    let [short, long] = if fits_16_bits(ty) { [results, 0] } else { [0, results] };
                    let wide = if sums == Sums::Blocks { s } else { 0 };
                    [windows + short, packed + s + long, wide]
                }
                _ if channels / groups <= 2
                    && window.strides[1] <= 2
                    && (ty.shape[3] >= 4 || window.strides == [1, 1] && padded(1) <= 2 * ty.shape[3] as u64) =>
                {
                    [p + taps, taps + 1552, blocks]
                }
                _ if weights.bits == 8 && taps > 3 => [p, taps + 64 * taps.div_ceil(4) + 1552, blocks],
                _ => [p + 32 * taps.next_multiple_of(2) + 32, taps + 1552, blocks],
            }
        }
        Op::BatchMatMul { a, b, transposed, .. } => {
            let k = columns(a);
            let (panels, single) = panels(*ty.shape.last().unwrap() as u64);
            let magnitude = |x: &usize| types[*x].low.abs().max(types[*x].high.abs());
            let most = 16 * panels * k.next_multiple_of(2) + single * k + 32;
            match batch_sums(
                infer::bound_of_batch(&types[*a], &types[*b], *transposed),
                magnitude(a) * magnitude(b),
            ) {
                Sums::Bits64 => [0; 3],
                Sums::Bits32 => [most, 1536, 0],
                Sums::Blocks => [most, 1536, 1536],
            }
        }
        Op::Softmax { x, .. } => [0, 2 * columns(x), 0],
        Op::LayerNorm { x, .. } => [0, columns(x), 0],
        Op::TreeEnsemble(Trees { x, base, .. }) => {
            let targets = base.len() as u64;
            [0, columns(x) + targets, targets]
        }
        Op::TopK { k, .. } => [0, 0, *k as u64],
        Op::Scan(scan) => body(scan, types),
        _ => [0; 3],
    }
}

fn body(scan: &Scan, outer: &[Type]) -> Sizes {
    let types = infer::body_types(scan, outer);
    let states = scan.states.len();
    let captured = states + scan.scanned.len()..states + scan.scanned.len() + scan.captured.len();
    let inputs = captured.end;
    let mut kept: Vec<usize> = captured.collect();
    kept.extend(scan.states.iter().map(|state| state.result));
    kept.extend(&scan.collected);
    let pools = pools(inputs, &scan.body, &types, &kept);
    let scratch = most_scratch(inputs, &scan.body, &types);
    let state_elements: u64 = types[..states].iter().map(elements).sum();
    [
        pools[0] + scratch[0],
        pools[1] + scratch[1] + state_elements,
        scratch[2],
    ]
}
