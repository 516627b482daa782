//! Running a model.

use alloc::vec::Vec;

use crate::block::Observer;
use crate::error::RunError;
use crate::kernels::Kernels;
use crate::program::Program;
use crate::shape;
use crate::workspace::{Space, Workspace};

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
        let (space, elements) = self.execute(workspace, self.block.plan.results, inputs, kernels, None);
        let mut rest = &mut *elements;
        for output in self.outputs() {
            let view = self.block.view(space.values(), output.value);
            let (elements, others) = rest.split_at_mut(view.len());
            view.load(0, elements);
            rest = others;
        }
        Ok(Results {
            program: self,
            elements,
        })
    }

    fn run_once(
        &self,
        inputs: &[&[i32]],
        kernels: &Kernels,
        observe: Option<Observer<'_>>,
    ) -> Result<Vec<Vec<i32>>, RunError> {
        self.check_inputs(inputs)?;
        let mut workspace = Workspace::new();
        let (space, _) = self.execute(&mut workspace, 0, inputs, kernels, observe);
        let values = space.values();
        let outputs = self.outputs().iter();
        Ok(outputs
            .map(|output| self.block.view(values, output.value).to_i32())
            .collect())
    }

    /// Computes every value, of inputs that were checked; gives so many results room.
    fn execute<'a>(
        &self,
        workspace: &'a mut Workspace,
        results: u64,
        inputs: &[&[i32]],
        kernels: &Kernels,
        observe: Option<Observer<'_>>,
    ) -> (Space<'a>, &'a mut [i32]) {
        let (mut space, results) = workspace.space(&self.block.plan, results);
        for (value, data) in inputs.iter().enumerate() {
            self.block.place(&mut space, value).store_run(0, data, kernels);
        }
        self.block.compute(&mut space, kernels, observe);
        (space, results)
    }

    fn check_inputs(&self, inputs: &[&[i32]]) -> Result<(), RunError> {
        if inputs.len() != self.inputs().len() {
            return Err(RunError::InputCount {
                found: inputs.len(),
                want: self.inputs().len(),
            });
        }
        for ((data, port), value) in inputs.iter().zip(self.inputs()).zip(&self.block.values) {
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
}
