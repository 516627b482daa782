//! Running a model.

use alloc::vec::Vec;

use crate::error::RunError;
use crate::graph::ValueId;
use crate::infer::Storage;
use crate::kernels::Kernels;
use crate::ops::{elementwise, movement, pool, reduce, softmax, top_k};
use crate::plan::Place;
use crate::program::Program;
use crate::shape;
use crate::step::Step;
use crate::tensor::{View, ViewMut};
use crate::workspace::{Arena, Scratch, Values, Workspace};

/// Sees the value of every node as it is computed: the node's index and its elements.
type Observer<'a> = &'a mut dyn FnMut(usize, &[i32]);

/// What a run gave: the elements of every output, in the workspace that it ran in.
#[derive(Clone, Copy, Debug)]
pub struct Results<'a> {
    program: &'a Program,
    elements: &'a [i32],
}

impl<'a> Results<'a> {
    /// The outputs' elements, row-major, in the order of [`Program::outputs`].
    pub fn iter(self) -> impl Iterator<Item = &'a [i32]> {
        let mut rest = self.elements;
        self.program.outputs().iter().map(move |output| {
            let (elements, others) = rest.split_at(shape::elements(&output.shape));
            rest = others;
            elements
        })
    }

    /// Output i.
    pub fn get(self, i: usize) -> Option<&'a [i32]> {
        self.iter().nth(i)
    }
}

impl Program {
    /// Runs the model: one slice of row-major integers per input in, one vector per output out.
    ///
    /// Values out of an input's range are refused; saturating them, where the input says so, is the caller's.
    pub fn run(&self, inputs: &[&[i32]], kernels: &Kernels) -> Result<Vec<Vec<i32>>, RunError> {
        self.run_once(inputs, kernels, None)
    }

    /// The same, showing each node's value to `observe` (which costs a copy of each).
    pub fn run_traced(
        &self,
        inputs: &[&[i32]],
        kernels: &Kernels,
        observe: &mut dyn FnMut(usize, &[i32]),
    ) -> Result<Vec<Vec<i32>>, RunError> {
        self.run_once(inputs, kernels, Some(observe))
    }

    /// The same in memory that is there already: allocates nothing in a workspace that has held this model or a larger one.
    ///
    /// ```
    /// # use aiinference_engine::{format, graph::*, Kernels, Limits, Program, Workspace};
    /// # let limits = Limits { max_nodes: 9, max_rank: 6, max_elements: 99, max_peak_bytes: 9999, max_ports: 8,
    /// #     max_name_bytes: 64, max_labels: 9, max_header_entries: 8, max_header_bytes: 99 };
    /// # let mut graph = Graph::new();
    /// # let x = graph.input(Input { name: "x".into(), shape: vec![3], fraction_bits: 0, low: -100, high: 100, saturate: false });
    /// # let value = graph.push(Op::Clamp { x, low: 0, high: 50 });
    /// # graph.outputs.push(Output { name: "y".into(), value, fraction_bits: 0, labels: vec![] });
    /// let program = Program::new(graph, &limits)?;
    /// let (mut workspace, kernels) = (Workspace::new(), Kernels::auto());
    /// for input in [[-7, 7, 70], [1, 2, 3]] {
    ///     let results = program.run_in(&mut workspace, &[&input], &kernels).unwrap();
    ///     assert_eq!(results.get(0).unwrap(), input.map(|x| x.clamp(0, 50)));
    /// }
    /// # Ok::<(), aiinference_engine::LoadError>(())
    /// ```
    pub fn run_in<'a>(
        &'a self,
        workspace: &'a mut Workspace,
        inputs: &[&[i32]],
        kernels: &Kernels,
    ) -> Result<Results<'a>, RunError> {
        self.check_inputs(inputs)?;
        self.execute(&mut workspace.arena, inputs, kernels, None);
        let count = self.plan.results as usize;
        if workspace.results.len() < count {
            workspace.results = alloc::vec![0; count];
        }
        let mut rest = &mut workspace.results[..count];
        for output in self.outputs() {
            let view = self.view(workspace.arena.values(), output.value);
            let (elements, others) = rest.split_at_mut(view.len());
            view.load(0, elements);
            rest = others;
        }
        Ok(Results {
            program: self,
            elements: &workspace.results[..count],
        })
    }

    fn run_once(
        &self,
        inputs: &[&[i32]],
        kernels: &Kernels,
        observe: Option<Observer<'_>>,
    ) -> Result<Vec<Vec<i32>>, RunError> {
        self.check_inputs(inputs)?;
        let mut arena = Arena::default();
        self.execute(&mut arena, inputs, kernels, observe);
        let values = arena.values();
        let outputs = self.outputs().iter();
        Ok(outputs.map(|output| self.view(values, output.value).to_i32()).collect())
    }

    /// Computes every value, of inputs that were checked.
    fn execute(&self, arena: &mut Arena, inputs: &[&[i32]], kernels: &Kernels, mut observe: Option<Observer<'_>>) {
        arena.fit(&self.plan);
        for (value, data) in inputs.iter().enumerate() {
            self.split(arena, value).0.store(0, data);
        }
        for (i, step) in self.steps.iter().enumerate() {
            let value = inputs.len() + i;
            if !matches!(step, Step::Nothing) {
                let (mut out, values, scratch) = self.split(arena, value);
                self.step(step, value, values, &mut out, scratch, kernels);
            }
            if let Some(observe) = &mut observe {
                observe(i, &self.view(arena.values(), value as ValueId).to_i32());
            }
        }
    }

    fn check_inputs(&self, inputs: &[&[i32]]) -> Result<(), RunError> {
        if inputs.len() != self.inputs().len() {
            return Err(RunError::InputCount {
                found: inputs.len(),
                want: self.inputs().len(),
            });
        }
        for ((data, port), value) in inputs.iter().zip(self.inputs()).zip(&self.values) {
            let want = value.elements();
            if data.len() != want {
                return Err(RunError::InputLength {
                    name: port.name.clone(),
                    found: data.len(),
                    want,
                });
            }
            let (low, high) = (port.low, port.high);
            // Without a way out the loop is quick; where the first one stands is found in another.
            let outside = |v: &i32| (*v < low) | (*v > high);
            if !data.iter().fold(false, |any, v| any | outside(v)) {
                continue;
            }
            if let Some((position, value)) = data.iter().copied().enumerate().find(|(_, v)| outside(v)) {
                return Err(RunError::InputRange {
                    name: port.name.clone(),
                    position,
                    value,
                    low,
                    high,
                });
            }
        }
        Ok(())
    }

    /// A value's elements. Every value that is read has been computed, and its place not given away (the plan).
    fn view<'a>(&'a self, values: Values<'a>, value: ValueId) -> View<'a> {
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
    fn split<'a>(&self, arena: &'a mut Arena, value: usize) -> (ViewMut<'a>, Values<'a>, &'a mut Scratch) {
        let this = &self.values[value];
        let narrow = this.storage() == Storage::I16;
        arena.split(self.plan.places[value], narrow, this.elements())
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
        scratch: &mut Scratch,
        kernels: &Kernels,
    ) {
        let view = |x: &ValueId| self.view(values, *x);
        let kind = |x: &ValueId| &self.values[*x as usize];
        let this = &self.values[value];
        match step {
            Step::Nothing => {}
            Step::MatMul { x, product } => product.run(view(x), out, kernels, scratch),
            Step::Conv { x, conv } => conv.run(view(x), out, kernels, scratch),
            Step::Rescale { x, scale, around } => elementwise::rescale_channels(view(x), scale, *around, out, kernels),
            Step::Join { a, b, joined } => joined.run(view(a), view(b), out, kernels),
            Step::BatchMatMul { a, b, product } => product.run(view(a), view(b), out, kernels, scratch),
            Step::Select { operands, plan } => elementwise::select(operands.each_ref().map(view), plan, out),
            Step::Sqrt { x, end } => elementwise::sqrt(view(x), *end, out),
            Step::LayerNorm { x, norm } => norm.run(view(x), kind(x).rows().1, out, kernels, scratch),
            Step::Sum {
                x,
                around,
                multiplier,
                end,
            } => reduce::sum(view(x), *around, *multiplier, *end, out),
            Step::Max { x, around } => reduce::max(view(x), *around, out),
            Step::Gather { x, indices, around } => movement::gather(view(x), *around, view(indices), out),
            Step::GatherElements { x, indices } => {
                let (columns, count) = (kind(x).rows().1, this.rows().1);
                movement::gather_elements(view(x), columns, view(indices), count, out);
            }
            Step::TopK { x, k } => top_k::top_k(view(x), kind(x).rows().1, *k, out, scratch),
            Step::Pad { x, plan, value } => movement::pad(view(x), plan, *value, out),
            Step::Broadcast { x, plan } => movement::broadcast(view(x), plan, out),
            Step::Clamp { x, low, high } => elementwise::clamp(view(x), *low, *high, out),
            Step::Table { x, table } => elementwise::table(view(x), table, out, kernels),
            Step::Softmax { x, multiplier, shift } => {
                softmax::softmax(view(x), kind(x).rows().1, *multiplier, *shift, out, scratch);
            }
            Step::MaxPool { x, slide } => pool::max_pool(view(x), slide, out),
            Step::AvgPool {
                x,
                slide,
                count_padding,
            } => pool::avg_pool(view(x), slide, *count_padding, out),
            Step::Upsample { x, factors } => movement::upsample(view(x), kind(x).rows().1, *factors, out),
            Step::Transpose { x, plan } => movement::transpose(view(x), plan, out),
            Step::Concat { xs, axis } => {
                let [_, extent, inner] = shape::around(&this.shape, *axis);
                let mut offset = 0;
                for x in xs {
                    let part = kind(x).shape[*axis] as usize * inner;
                    movement::concat_part(view(x), part, extent * inner, offset, out);
                    offset += part;
                }
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
