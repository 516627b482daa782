//! The front end for everything but ai.onnx.ml: ONNX through tract's typed graph.
//!
//! The graph is read before tract simplifies it: simplification splits what belongs together (a MatMul over a Concat
//! becomes a sum of MatMuls, a 1x1 Conv a transposed MatMul), which costs an integer model accuracy and gas. Where a
//! node cannot be read that way, the simplified graph is tried.

mod elementwise;
mod linear;
mod movement;
mod walk;

use std::panic::{catch_unwind, AssertUnwindSafe};

use aiinference_engine::graph::Window;
use tract_onnx::pb;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::array::{Gather, MultiBroadcastTo, Pad, PadMode, Slice, Tile, TypedConcat};
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::cast::Cast;
use tract_onnx::tract_core::ops::cnn::{Conv, KernelFormat, MaxPool, PoolSpec, SumPool};
use tract_onnx::tract_core::ops::downsample::Downsample;
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_core::ops::identity::Identity;
use tract_onnx::tract_core::ops::logic::Iff;
use tract_onnx::tract_core::ops::math::PowConst;
use tract_onnx::tract_core::ops::nn::{DataFormat, LeakyRelu, NearestUpsample, Reduce, Reducer, Softmax, SoftmaxKind};

use crate::error::{ConvertError, Result};
use crate::expr::{Binary, Expr, Unary};
use crate::net::{broadcast, window_extents, Id, Kind, Net, NetOutput};
use crate::onnx::OnnxInput;
use walk::Walker;

/// The float model as tract runs it.
pub struct Reference {
    plan: Arc<TypedSimplePlan>,
    inputs: Vec<(DatumType, Vec<usize>)>,
}

/// Reads a model: the float graph, and tract's own version of it to compare with.
pub fn import(model: &pb::ModelProto, inputs: &[OnnxInput]) -> Result<(Net, Reference)> {
    let typed = guarded(|| load(model, inputs))?;
    let names: Vec<String> = match &model.graph {
        Some(g) => g.output.iter().map(|o| o.name.clone()).collect(),
        None => vec![],
    };
    let net = match Walker::walk(&typed, inputs, &names) {
        Ok(net) => net,
        Err(first) => {
            let simplified = guarded(|| typed.clone().into_decluttered());
            let net = simplified.and_then(|typed| Walker::walk(&typed, inputs, &names));
            net.map_err(|_| first)?
        }
    };
    let types = typed.input_outlets().map(|outlets| {
        let facts = outlets.iter().filter_map(|o| typed.outlet_fact(*o).ok());
        facts.map(|f| f.datum_type).collect::<Vec<_>>()
    });
    // The optimised plan is faster; what tract cannot optimise it still runs.
    let plan = guarded(|| typed.clone().into_optimized()?.into_runnable())
        .or_else(|_| guarded(|| typed.clone().into_runnable()))?;
    let inputs = types
        .unwrap_or_default()
        .into_iter()
        .zip(inputs.iter().map(|i| i.shape.clone()));
    Ok((
        net,
        Reference {
            plan,
            inputs: inputs.collect(),
        },
    ))
}

/// Runs a part of tract; what it panics with becomes an error.
fn guarded<T>(f: impl FnOnce() -> TractResult<T>) -> Result<T> {
    let fail = |reason: String| ConvertError::Parse { reason };
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(e)) => Err(fail(format!("{e:#}"))),
        Err(payload) => {
            let text = payload.downcast_ref::<String>().cloned();
            let text = text.or_else(|| payload.downcast_ref::<&str>().map(|s| s.to_string()));
            Err(fail(format!(
                "the importer (tract) stopped with {:?}",
                text.unwrap_or_else(|| "an unknown fault".into())
            )))
        }
    }
}

fn load(model: &pb::ModelProto, inputs: &[OnnxInput]) -> TractResult<TypedModel> {
    let onnx = tract_onnx::onnx().with_ignore_output_shapes(true);
    let mut inference = onnx.model_for_proto_model(model)?;
    for (i, input) in inputs.iter().enumerate() {
        let datum_type = DatumType::try_from(input.data_type)?;
        inference.set_input_fact(i, InferenceFact::dt_shape(datum_type, input.shape.as_slice()))?;
    }
    inference.into_typed()
}

impl Reference {
    /// The outputs for one sample.
    pub fn run(&self, sample: &[Vec<f64>]) -> Result<Vec<Vec<f64>>> {
        guarded(|| {
            let mut tensors = tvec!();
            for (values, (datum_type, shape)) in sample.iter().zip(&self.inputs) {
                let tensor = Tensor::from_shape(shape, values)?;
                tensors.push(tensor.cast_to_dt(*datum_type)?.into_owned().into_tvalue());
            }
            let outputs = self.plan.run(tensors)?;
            outputs.iter().map(|t| elements(t)).collect()
        })
    }
}

fn elements(t: &Tensor) -> TractResult<Vec<f64>> {
    let t = t.cast_to::<f64>()?;
    Ok(t.to_plain_array_view::<f64>()?.iter().copied().collect())
}
