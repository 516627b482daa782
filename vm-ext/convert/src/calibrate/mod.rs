//! Calibration beyond ranges: which precision every layer gets, and what else calibration data can better.
//!
//! Everything here tries integer models on calibration samples, by the engine itself, and keeps what is better. Tries are
//! bounded in number and in gas, and happen in one order: the same file, data and options give the same model.

pub mod alone;
mod bias;
pub mod histogram;
mod knobs;
mod search;
mod shifts;
mod trial;

use std::collections::BTreeMap;

use aiinference_engine::Program;

use crate::converter::engine_limits;
use crate::error::{ConvertError, Result};
use crate::net::{Id, Net};
use crate::options::Options;
use crate::quantise::precision::Precision;
use crate::quantise::{quantise_net, Quantised, Ranges};
use crate::samples::Samples;
use trial::Bench;

/// Precision by node.
pub type Precisions = BTreeMap<Id, Precision>;

/// Who is told of tries done, and how many there are at most.
pub type Tell<'a> = &'a mut dyn FnMut(usize, usize);

/// What tries need.
struct Context<'a> {
    net: &'a Net,
    ranges: &'a Ranges,
    options: &'a Options,
}

impl Context<'_> {
    fn quantised(&self, net: &Net, precisions: &Precisions) -> Result<Quantised> {
        let mut ranges = self.ranges.clone();
        ranges.precision.clone_from(precisions);
        quantise_net(net, &ranges, self.options)
    }
}

/// Whether the options ask for more than ranges and biases.
pub fn wanted(options: &Options) -> bool {
    options.max_gas.is_some() || options.max_error.is_some() || options.tune_shifts
}

/// Chooses precisions, on top of settled ranges. Several are given where a limit on the error decided on samples that may
/// not be all: the first one is the cheapest, those after it are dearer and better. There is one at least.
pub fn choose(net: &Net, ranges: &Ranges, samples: &Samples, options: &Options, tell: Tell) -> Result<Vec<Precisions>> {
    let context = Context { net, ranges, options };
    // Options are refused that ask for both.
    if options.tune_shifts {
        return Ok(vec![shifts::tune(&context, samples, Precisions::new(), tell)?]);
    }
    search::search(&context, samples, tell)
}

/// The net with its biases corrected, for ranges that hold the chosen precisions.
pub fn correct(net: &Net, ranges: &Ranges, samples: &Samples, options: &Options, tell: Tell) -> Result<Net> {
    bias::correct(&Context { net, ranges, options }, samples, &ranges.precision, tell)
}

/// The model as the engine takes it.
fn program(quantised: &Quantised) -> Result<Program> {
    Program::new(quantised.graph.clone(), &engine_limits()).map_err(|e| engine(e.to_string()))
}

fn engine(reason: String) -> ConvertError {
    ConvertError::Engine { reason }
}
