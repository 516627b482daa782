//! Nodes laid out for running: those of a model, or of a body inside of it.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::graph::{Op, ValueId};
use crate::infer::{Inferred, Storage, ValueType};
use crate::kernels::Kernels;
use crate::limits::Limits;
use crate::ops::scan::Scan;
use crate::ops::{elementwise, movement, pool, reduce, softmax, top_k};
use crate::plan::{Place, Plan};
use crate::shape;
use crate::step::{prepare, stored, Step};
use crate::tensor::{Tensor, View, ViewMut};
use crate::workspace::{Scratch, Space, Values};

/// Sees the value of every node as it is computed: the node's index and its elements.
pub(crate) type Observer<'a> = &'a mut dyn FnMut(usize, &[i32]);

/// Nodes in the order in which they run, and the values that they read and write.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    /// First those that are given, then one per node.
    pub values: Vec<ValueType>,
    steps: Vec<Step>,
    constants: Vec<Option<Tensor>>,
    pub plan: Plan,
}

impl Block {
    /// Of nodes that inference took; with their plan, and those of their bodies.
    pub fn new(
        nodes: Vec<Op>,
        inferred: Inferred,
        plan: Plan,
        mut plans: BTreeMap<usize, Plan>,
        limits: &Limits,
    ) -> Self {
        let Inferred {
            values,
            sums,
            mut bodies,
            ..
        } = inferred;
        let first = values.len() - nodes.len();
        let mut constants = alloc::vec![None; first];
        let mut steps = Vec::with_capacity(nodes.len());
        for (i, op) in nodes.into_iter().enumerate() {
            let out = &values[first + i];
            let mut constant = None;
            let step = match (op, bodies.remove(&i), plans.remove(&i)) {
                (Op::Constant { data, .. }, ..) => {
                    constant = Some(stored(data, out.storage()));
                    Step::Nothing
                }
                (op, Some(body), Some(plan)) => {
                    Scan::new(op, &values, body, plan, limits).map_or(Step::Nothing, |scan| Step::Scan(Box::new(scan)))
                }
                (op, ..) => prepare(op, &values, out, sums[i], limits),
            };
            constants.push(constant);
            steps.push(step);
        }
        Block {
            values,
            steps,
            constants,
            plan,
        }
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        let mut bytes = 0;
        for value in &self.values {
            bytes += size_of::<ValueType>() + 4 * value.shape.len();
            bytes += size_of::<Option<Tensor>>() + size_of::<Place>();
        }
        bytes += self.steps.iter().map(|s| size_of::<Step>() + s.bytes()).sum::<usize>();
        for constant in self.constants.iter().flatten() {
            bytes += match constant {
                Tensor::I16(v) => 2 * v.len(),
                Tensor::I32(v) => 4 * v.len(),
            };
        }
        bytes
    }

    /// Computes every node's value, of values that are given.
    pub fn compute(&self, space: &mut Space<'_>, kernels: &Kernels, mut observe: Option<Observer<'_>>) {
        let first = self.values.len() - self.steps.len();
        for (i, step) in self.steps.iter().enumerate() {
            let value = first + i;
            if !matches!(step, Step::Nothing) {
                let (mut out, values, scratch) = self.split(space, value);
                self.step(step, value, values, &mut out, scratch, kernels);
            }
            if let Some(observe) = &mut observe {
                observe(i, &self.view(space.values(), value as ValueId).to_i32());
            }
        }
    }

    /// A value's place, to write to.
    pub fn place<'a>(&self, space: &'a mut Space<'_>, value: usize) -> ViewMut<'a> {
        self.split(space, value).0
    }

    /// A value's elements. Every value that is read has been computed, and its place not given away (the plan).
    pub fn view<'a>(&'a self, values: Values<'a>, value: ValueId) -> View<'a> {
        let this = &self.values[value as usize];
        match self.plan.places[value as usize] {
            Place::Constant(constant) => match &self.constants[constant] {
                Some(tensor) => tensor.view(),
                None => View::I32(&[]),
            },
            Place::Pool(start) => values.view(start, this.storage() == Storage::I16, this.elements()),
        }
    }

    /// A value's place to write to, what may be read meanwhile, and scratch space.
    fn split<'a, 's>(&self, space: &'a mut Space<'s>, value: usize) -> (ViewMut<'a>, Values<'a>, &'a mut Scratch<'s>) {
        let this = &self.values[value];
        let narrow = this.storage() == Storage::I16;
        space.split(self.plan.places[value], narrow, this.elements())
    }

    /// Computes a node's value.
    ///
    /// Kept a function of its own: compiled to Wasm, a VM may cap the locals of one function.
    #[inline(never)]
    fn step(
        &self,
        step: &Step,
        value: usize,
        values: Values<'_>,
        out: &mut ViewMut<'_>,
        scratch: &mut Scratch<'_>,
        kernels: &Kernels,
    ) {
        let view = |x: &ValueId| self.view(values, *x);
        let kind = |x: &ValueId| &self.values[*x as usize];
        let this = &self.values[value];
        match step {
            Step::Nothing => {}
            Step::MatMul { x, product } => product.run(view(x), out, kernels, scratch),
            Step::Conv { x, conv } => conv.run(view(x), out, kernels, scratch),
            Step::Windows { x, windows } => windows.run(view(x), out, kernels, scratch),
            Step::Rescale { x, scale, around } => elementwise::rescale_channels(view(x), scale, *around, out, kernels),
            Step::Join { a, b, joined } => joined.run(view(a), view(b), out, kernels),
            Step::BatchMatMul { a, b, product } => product.run(view(a), view(b), out, kernels, scratch),
            Step::Select { operands, plan } => elementwise::select(operands.each_ref().map(view), plan, out, kernels),
            Step::Sqrt { x, end } => elementwise::sqrt(view(x), *end, out, kernels),
            Step::LayerNorm { x, norm } => norm.run(view(x), kind(x).rows().1, out, kernels, scratch),
            Step::Sum {
                x,
                around,
                multiplier,
                end,
            } => reduce::sum(view(x), *around, *multiplier, *end, out, kernels),
            Step::Max { x, around } => reduce::max(view(x), *around, out, kernels),
            Step::Gather { x, indices, around } => movement::gather(view(x), *around, view(indices), out),
            Step::GatherElements { x, indices } => {
                let (columns, count) = (kind(x).rows().1, this.rows().1);
                movement::gather_elements(view(x), columns, view(indices), count, out);
            }
            Step::TopK { x, k } => top_k::top_k(view(x), kind(x).rows().1, *k, out, scratch),
            Step::Pad { x, plan, value } => movement::pad(view(x), plan, *value, out),
            Step::Broadcast { x, plan } => movement::broadcast(view(x), plan, out),
            Step::Scan(scan) => scan.run(view, out, kernels, scratch),
            Step::Clamp { x, low, high } => elementwise::clamp(view(x), *low, *high, out, kernels),
            Step::Table { x, table } => elementwise::table(view(x), table, out, kernels),
            Step::Softmax { x, multiplier, shift } => {
                softmax::softmax(view(x), kind(x).rows().1, *multiplier, *shift, out, kernels, scratch);
            }
            Step::MaxPool { x, slide } => pool::max_pool(view(x), slide, out, kernels),
            Step::AvgPool {
                x,
                slide,
                count_padding,
            } => pool::avg_pool(view(x), slide, *count_padding, out, kernels),
            Step::Upsample { x, factors } => movement::upsample(view(x), kind(x).rows().1, *factors, out),
            Step::Transpose { x, plan } => movement::transpose(view(x), plan, out),
            Step::Concat { xs, axis } => {
                let [_, extent, inner] = shape::around(&this.shape, *axis);
                let operands = xs.iter().map(|x| (view(x), kind(x).shape[*axis] as usize * inner));
                movement::concat(operands, extent * inner, out);
            }
            Step::Slice {
                x,
                axis,
                start,
                step,
                length,
            } => {
                movement::slice(
                    view(x),
                    shape::around(&kind(x).shape, *axis),
                    *start,
                    *step,
                    *length,
                    out,
                );
            }
            Step::ArgMax { x } => softmax::arg_max(view(x), kind(x).rows().1, out),
            Step::Trees { x, forest } => forest.run(view(x), kind(x).rows().1, out, scratch),
        }
    }
}
