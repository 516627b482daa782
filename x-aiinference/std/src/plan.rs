//! Several models in one call.

use aiinference_types::v1;

use crate::{wire, Error, Host, Input, Model, Operation, Outputs};

/// Models run in order in one call; what one gives to the next never leaves the host.
///
/// ```
/// # use aiinference_std::{Error, Host, Input, Model, Outputs, Plan, Tensor};
/// # fn draw(host: impl Host, mood: &Model, painter: &Model) -> Result<Outputs, Error> {
/// Plan::new()
///     .step(mood, [Tensor::from_i64s(&[3, 14, 15])])
///     .step(painter, [Input::from_step(0, "mood").named("latent"), Tensor::from_i64s(&[42]).named("seed").into()])
///     .gas_limit(2_000_000_000)
///     .run(host)
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[must_use = "a plan does nothing until `run`"]
pub struct Plan(v1::InferRequest);

impl Plan {
    /// A plan without steps.
    pub fn new() -> Self {
        Plan::default()
    }

    /// Adds a model run. Steps count from 0. Inputs are [`Tensor`](crate::Tensor)s, by value or by reference, or
    /// [`Input`]s; a tensor given by value is not copied.
    pub fn step<I>(mut self, model: &Model, inputs: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<Input>,
    {
        self.push(
            model,
            inputs.into_iter().map(|input| input.into().into_message()).collect(),
        );
        self
    }

    #[inline(never)]
    fn push(&mut self, model: &Model, inputs: Vec<v1::Input>) {
        let model = Some(model.to_message());
        self.0.steps.push(v1::Step { model, inputs });
    }

    /// Asks for an output of a step; may be repeated. Without, all outputs of the last step are returned.
    pub fn returning(mut self, step: u32, output: impl Into<String>) -> Self {
        self.0.outputs.push(v1::StepOutput {
            step,
            output: output.into(),
        });
        self
    }

    /// The largest price accepted, in CosmWasm gas (140,000 of which are one unit of the chain's own gas). A higher
    /// price is refused with [`GasLimitExceeded`](crate::ErrorCode::GasLimitExceeded), which a contract can handle;
    /// without a limit, the transaction ends out of gas.
    pub fn gas_limit(mut self, gas: u64) -> Self {
        self.0.gas_limit = Some(gas);
        self
    }

    /// Runs it.
    // Inlined, the compiler sees that Wasm does not use the host, and drops the querier if nothing else does.
    #[inline(always)]
    pub fn run(self, host: impl Host) -> Result<Outputs, Error> {
        let response = host.call(Operation::Infer, &self.into_request())?;
        Outputs::from_response(&response)
    }

    // Not inlined: a contract with several calls would carry the codec several times.
    #[inline(never)]
    fn into_request(self) -> Vec<u8> {
        wire::request(&wire::InferQuestion { infer: Some(self.0) })
    }
}
