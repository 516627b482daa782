//! The one way from a claim and its proof to a verdict.

use aiinference_types::{
    circuit::{srs_id, PERPETUAL_POWERS_OF_TAU},
    limits,
    v1::{self, VerifyRequest},
    ErrorCode,
};
use aiinference_verifier::{self as verifier, Circuit, Claim, VerifyError};

use crate::{
    load::LoadedCircuit,
    meter::Meter,
    plan::Refusal,
    price,
    stop::{charge, Stop},
};

/// Checks one proof against a circuit that is loaded and paid for.
pub(crate) fn verify(
    request: &VerifyRequest,
    loaded: &LoadedCircuit,
    meter: &mut Meter,
) -> Result<v1::VerifyResponse, Stop> {
    let circuit = &loaded.circuit;
    check_accepted(request, circuit)?;
    if request.proof.len() != circuit.proof_bytes() {
        let (given, wanted) = (request.proof.len(), circuit.proof_bytes());
        return Err(refuse_verify(&VerifyError::ProofLength { given, wanted }).into());
    }
    let claim = Claim {
        inputs: &request.inputs,
        hashes: &request.hashes,
        outputs: &request.outputs,
    };
    let instances = verifier::instances(circuit, &claim).map_err(|e| Refusal::new(e.code(), 0, e.to_string()))?;
    charge(meter, 0, price::verify(verifier::evm_gas_limit(circuit)))?;
    let verdict = verifier::verify(circuit, &request.proof, &instances).map_err(|e| refuse_verify(&e))?;
    let outputs = match verdict.valid {
        true => verifier::outputs(circuit, &claim).map_err(|e| Refusal::new(e.code(), 0, e.to_string()))?,
        false => Vec::new(),
    };
    Ok(v1::VerifyResponse {
        valid: verdict.valid,
        outputs,
        circuit_checksum: loaded.checksum.to_vec(),
        models: circuit.models().iter().map(model).collect(),
        reproducible: circuit.reproducible(),
        srs: circuit.srs().to_vec(),
        gas: meter.charged(),
        gas_schedule: price::GAS_SCHEDULE,
    })
}

/// Checks what a request may say wrong before anything is resolved.
pub(crate) fn check_request(request: &VerifyRequest, meter: &mut Meter) -> Result<(), Stop> {
    meter.set_limit(request.gas_limit);
    charge(meter, 0, 0)?;
    let count = request.accepted_srs.len();
    if count > limits::MAX_ACCEPTED_SRS || request.accepted_srs.iter().any(|id| id.len() != 32) {
        let message = format!(
            "reading a request: it accepts {count} structured reference strings; allowed are {} ids of 32 bytes",
            limits::MAX_ACCEPTED_SRS
        );
        return Err(Refusal::new(ErrorCode::MalformedRequest, 0, message).into());
    }
    Ok(())
}

/// What only the caller can say: whose randomness is trusted, and whether an owner is.
fn check_accepted(request: &VerifyRequest, circuit: &Circuit) -> Result<(), Refusal> {
    let accepted = if request.accepted_srs.is_empty() {
        srs_id(&PERPETUAL_POWERS_OF_TAU) == *circuit.srs()
    } else {
        request.accepted_srs.iter().any(|id| id == circuit.srs())
    };
    if !accepted {
        let id: String = circuit.srs().iter().map(|byte| format!("{byte:02x}")).collect();
        let message = format!(
            "checking a proof: the circuit was made with the structured reference string {id}, which the request does not \
             accept; set it up with the perpetual powers of tau"
        );
        return Err(Refusal::new(ErrorCode::SrsNotAccepted, 0, message));
    }
    if !circuit.reproducible() && !request.accept_unreproducible {
        let message =
            "checking a proof: nobody but its owner can rebuild this circuit, and the request does not accept such";
        return Err(Refusal::new(ErrorCode::UnreproducibleCircuit, 0, message));
    }
    Ok(())
}

fn refuse_verify(error: &VerifyError) -> Refusal {
    let code = match error {
        VerifyError::ProofLength { .. } => ErrorCode::WrongProofLength,
        VerifyError::InstanceCount { .. } => ErrorCode::InstanceMismatch,
        VerifyError::InstanceTooLarge(_) => ErrorCode::MalformedHash,
        _ => ErrorCode::VerifierHalted,
    };
    Refusal::new(code, 0, error.to_string())
}

fn model(model: &verifier::Model) -> v1::CircuitModel {
    v1::CircuitModel {
        code_id: model.code_id,
        checksum: model.checksum.to_vec(),
    }
}
