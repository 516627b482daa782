//! Running a model.

use alloc::{vec, vec::Vec};

use crate::error::RunError;
use crate::graph::ValueId;
use crate::infer::Storage;
use crate::kernels::Kernels;
use crate::ops::{elementwise, movement, pool, softmax};
use crate::program::{Program, Step};
use crate::shape;
use crate::tensor::{Tensor, View};

/// Sees the value of every node as it is computed: the node's index and its elements.
type Observer<'a> = &'a mut dyn FnMut(usize, &[i32]);

impl Program {
    /// Runs the model: one slice of row-major integers per input in, one vector per output out.
    ///
    /// Values out of an input's range are refused; saturating them, where the input says so, is the caller's.
    pub fn run(&self, inputs: &[&[i32]], kernels: &Kernels) -> Result<Vec<Vec<i32>>, RunError> {
        self.execute(inputs, kernels, None)
    }

    /// The same, showing each node's value to `observe` (which costs a copy of each).
    pub fn run_traced(
        &self,
        inputs: &[&[i32]],
        kernels: &Kernels,
        observe: &mut dyn FnMut(usize, &[i32]),
    ) -> Result<Vec<Vec<i32>>, RunError> {
        self.execute(inputs, kernels, Some(observe))
    }

    fn execute(
        &self,
        inputs: &[&[i32]],
        kernels: &Kernels,
        mut observe: Option<Observer<'_>>,
    ) -> Result<Vec<Vec<i32>>, RunError> {
        let mut buffers = self.check_inputs(inputs)?;
        for (i, step) in self.steps.iter().enumerate() {
            let value = self.inputs().len() + i;
            if let Some(result) = self.step(step, value, &buffers, kernels) {
                buffers[value] = Some(result);
            }
            if let Some(observe) = &mut observe {
                observe(i, &self.view(&buffers, value as ValueId).to_i32());
            }
            for buffer in &self.memory.freed[i] {
                buffers[*buffer] = None;
            }
        }
        Ok(self
            .outputs()
            .iter()
            .map(|output| self.view(&buffers, output.value).to_i32())
            .collect())
    }

    /// The inputs as tensors, in buffers for all values.
    fn check_inputs(&self, inputs: &[&[i32]]) -> Result<Vec<Option<Tensor>>, RunError> {
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
            let outside = |v: &i32| *v < port.low || *v > port.high;
            if let Some((position, value)) = data.iter().copied().enumerate().find(|(_, v)| outside(v)) {
                let (low, high) = (port.low, port.high);
                return Err(RunError::InputRange {
                    name: port.name.clone(),
                    position,
                    value,
                    low,
                    high,
                });
            }
        }
        let mut buffers = vec![None; self.values.len()];
        for ((buffer, data), value) in buffers.iter_mut().zip(inputs).zip(&self.values) {
            *buffer = Some(match value.storage() {
                Storage::I16 => Tensor::I16(data.iter().map(|x| *x as i16).collect()),
                Storage::I32 => Tensor::I32(data.to_vec()),
            });
        }
        Ok(buffers)
    }

    /// A value's elements. Every value that is read has been computed and not freed (the loader's plan).
    fn view<'a>(&'a self, buffers: &'a [Option<Tensor>], value: ValueId) -> View<'a> {
        let buffer = self.memory.buffer[value as usize];
        match (&buffers[buffer], &self.constants[buffer]) {
            (Some(tensor), _) | (None, Some(tensor)) => tensor.view(),
            (None, None) => View::I32(&[]),
        }
    }

    /// Computes a node's value; none where it lives elsewhere.
    ///
    /// Kept a function of its own: compiled to Wasm, a VM may cap the locals of one function.
    #[inline(never)]
    fn step(&self, step: &Step, value: usize, buffers: &[Option<Tensor>], kernels: &Kernels) -> Option<Tensor> {
        let view = |x: &ValueId| self.view(buffers, *x);
        let kind = |x: &ValueId| &self.values[*x as usize];
        if matches!(step, Step::Nothing) {
            return None;
        }
        let this = &self.values[value];
        let mut result = Tensor::zeros(this.storage(), this.elements());
        let out = &mut result;
        match step {
            Step::Nothing => {}
            Step::MatMul { x, product } => product.run(view(x), out, kernels),
            Step::Conv { x, conv } => conv.run(view(x), out, kernels),
            Step::Rescale { x, scale, around } => elementwise::rescale_channels(view(x), scale, *around, out, kernels),
            Step::Join { a, b, joined } => joined.run(view(a), view(b), out, kernels),
            Step::Clamp { x, low, high } => elementwise::clamp(view(x), *low, *high, out),
            Step::Table { x, table } => elementwise::table(view(x), table, out, kernels),
            Step::Softmax { x, multiplier, shift } => {
                softmax::softmax(view(x), kind(x).rows().1, *multiplier, *shift, out);
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
            Step::Trees { x, forest } => forest.run(view(x), kind(x).rows().1, out),
        }
        Some(result)
    }
}
