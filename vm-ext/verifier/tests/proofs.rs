//! Real proofs, and what adversaries make of them.

mod common;

use std::slice::from_ref;

use aiinference_types::{
    circuit::{srs_id, FIELD_ORDER, PERPETUAL_POWERS_OF_TAU},
    v1::{DataType, InstanceRole, Tensor, Visibility},
    ErrorCode,
};
use aiinference_verifier::{
    evm_gas_limit, instances, outputs, verify, Circuit, CircuitError, Claim, VerifyError, Word, CODE_SHA256,
};
use common::*;
use proptest::prelude::*;
use sha2::{Digest, Sha256};

const ALL: [&str; 5] = ["public", "hashed", "other-weights", "other-srs", "many"];

fn valid(circuit: &Circuit, proof: &[u8], instances: &[Word]) -> bool {
    verify(circuit, proof, instances).unwrap().valid
}

#[test]
fn the_code_is_the_one_that_was_reviewed() {
    let code = include_bytes!("../code/Halo2VerifierReusable.bin");
    assert_eq!(hex::encode(Sha256::digest(code)), CODE_SHA256);
}

#[test]
fn proofs_are_valid_for_exactly_what_the_network_gives() {
    for name in ALL {
        let fixture = fixture(name);
        for (index, proof) in fixture.proofs.iter().enumerate() {
            let wanted: Vec<i64> = proof.outputs.iter().map(|&y| y.into()).collect();
            assert_eq!(fixture.run(&proof.inputs), wanted, "{name} {index}");
            let verdict = fixture.check(index, &fixture.instances(index)).unwrap();
            assert!(verdict.valid, "{name} {index}");
            // An honest proof stays well below the limit.
            assert!(
                verdict.evm_gas * 3 < evm_gas_limit(&fixture.circuit()) * 2,
                "{name}: {verdict:?}, limit {}",
                evm_gas_limit(&fixture.circuit())
            );
            assert_eq!(fixture.check(index, &fixture.instances(index)).unwrap(), verdict);
        }
    }
}

#[test]
fn a_proof_with_any_word_changed_is_invalid() {
    for name in ["public", "hashed"] {
        let fixture = fixture(name);
        let (circuit, instances) = (fixture.circuit(), fixture.instances(0));
        let proof = fixture.proofs[0].bytes();
        // Each word of a proof is a coordinate of a point or a field element: the least bit, a middle one, and one that makes
        // the number larger than the field.
        for word in 0..proof.len() / 32 {
            for (byte, mask) in [(31, 1), (15, 0x10), (0, 0x80)] {
                let mut bad = proof.clone();
                bad[word * 32 + byte] ^= mask;
                assert!(!valid(&circuit, &bad, &instances), "{name}: word {word}, byte {byte}");
            }
            let mut zero = proof.clone();
            zero[word * 32..][..32].fill(0);
            let mut order = proof.clone();
            order[word * 32..][..32].copy_from_slice(&FIELD_ORDER);
            for bad in [zero, order] {
                assert!(
                    bad == proof || !valid(&circuit, &bad, &instances),
                    "{name}: word {word}"
                );
            }
        }
    }
}

#[test]
fn two_words_of_a_proof_do_not_change_places() {
    let fixture = fixture("public");
    let (circuit, instances) = (fixture.circuit(), fixture.instances(0));
    let proof = fixture.proofs[0].bytes();
    let count = proof.len() / 32;
    for word in 0..count {
        let mut bad = proof.clone();
        let other = (word + 1) % count;
        for byte in 0..32 {
            bad.swap(word * 32 + byte, other * 32 + byte);
        }
        assert!(bad == proof || !valid(&circuit, &bad, &instances), "word {word}");
    }
}

#[test]
fn proofs_of_another_length_are_refused() {
    let fixture = fixture("public");
    let (circuit, instances) = (fixture.circuit(), fixture.instances(0));
    let proof = fixture.proofs[0].bytes();
    let longer = |by: usize| [proof.clone(), vec![0; by]].concat();
    let huge = vec![0; 1 << 20];
    for bad in [
        &[][..],
        &proof[..32],
        &proof[..proof.len() - 1],
        &proof[..proof.len() - 32],
        &proof[1..],
        &longer(1),
        &longer(32),
        &longer(proof.len()),
        &huge,
    ] {
        let error = verify(&circuit, bad, &instances).unwrap_err();
        let (given, wanted) = (bad.len(), proof.len());
        assert_eq!(error, VerifyError::ProofLength { given, wanted });
    }
    // Nor does a circuit that says so take a proof with zeros behind it for the one that it is not.
    let mut message = fixture.message();
    message.proof_bytes -= 32;
    let shorter = Circuit::check(message).unwrap();
    assert!(!valid(&shorter, &proof[..proof.len() - 32], &instances));
}

#[test]
fn other_public_values_are_not_proven() {
    for name in ["public", "hashed"] {
        let fixture = fixture(name);
        let circuit = fixture.circuit();
        let proof = fixture.proofs[0].bytes();
        let good = fixture.instances(0);
        for index in 0..good.len() {
            for bad in [
                words(&[-1, 0, 1, 1 << 30]),
                fixture.instances(1)[index..=index].to_vec(),
            ]
            .concat()
            {
                let mut values = good.clone();
                values[index] = bad;
                assert!(
                    values == good || !valid(&circuit, &proof, &values),
                    "{name}: value {index}"
                );
            }
            let mut near = good.clone();
            near[index][31] ^= 1;
            assert!(!valid(&circuit, &proof, &near), "{name}: value {index}");
            let mut swapped = good.clone();
            swapped.swap(index, (index + 1) % good.len());
            assert!(
                swapped == good || !valid(&circuit, &proof, &swapped),
                "{name}: value {index}"
            );
            let mut dropped = good.clone();
            dropped.remove(index);
            assert!(matches!(
                verify(&circuit, &proof, &dropped),
                Err(VerifyError::InstanceCount { .. })
            ));
            let mut twice = good.clone();
            twice.insert(index, good[index]);
            assert!(matches!(
                verify(&circuit, &proof, &twice),
                Err(VerifyError::InstanceCount { .. })
            ));
        }
        let many = vec![[0; 32]; 100_000];
        assert!(matches!(
            verify(&circuit, &proof, &many),
            Err(VerifyError::InstanceCount { .. })
        ));
    }
}

#[test]
fn a_field_element_has_one_form() {
    // The same number modulo the order would be another claim with the same proof.
    let fixture = fixture("public");
    let good = fixture.instances(0);
    for index in 0..good.len() {
        let mut values = good.clone();
        let mut carry = 0u16;
        for (byte, order) in values[index].iter_mut().zip(FIELD_ORDER).rev() {
            carry += u16::from(*byte) + u16::from(order);
            *byte = carry as u8;
            carry >>= 8;
        }
        assert_eq!(fixture.check(0, &values), Err(VerifyError::InstanceTooLarge(index)));
        values[index] = [0xff; 32];
        assert_eq!(fixture.check(0, &values), Err(VerifyError::InstanceTooLarge(index)));
    }
}

#[test]
fn a_proof_belongs_to_its_circuit_and_its_inputs() {
    let of = ALL.map(fixture);
    for (index, circuit) in of.iter().enumerate() {
        for (other, prover) in of.iter().enumerate() {
            let (values, proof) = (prover.instances(0), prover.proofs[0].bytes());
            match verify(&circuit.circuit(), &proof, &values) {
                Ok(verdict) => assert_eq!(verdict.valid, index == other, "{} by {}", ALL[other], ALL[index]),
                Err(error) => assert!(
                    matches!(
                        error,
                        VerifyError::ProofLength { .. } | VerifyError::InstanceCount { .. }
                    ),
                    "{error}"
                ),
            }
        }
    }
    let public = &of[0];
    for (proof, claimed) in [(0, 1), (1, 0), (2, 0), (0, 2)] {
        assert!(!public.check(proof, &public.instances(claimed)).unwrap().valid);
    }
    // The right output with another input, and the other way round.
    let mut mixed = public.instances(0);
    let inputs = public.w1[0].len();
    mixed[..inputs].copy_from_slice(&public.instances(1)[..inputs]);
    assert!(!public.check(0, &mixed).unwrap().valid);
    assert!(!public.check(1, &mixed).unwrap().valid);
}

#[test]
fn raw_offsets_in_a_proof_are_mere_bytes_of_it() {
    // The call's head is the host's: whatever a caller writes lands in the proof, whose length is fixed.
    let fixture = fixture("public");
    let (circuit, values) = (fixture.circuit(), fixture.instances(0));
    let proof = fixture.proofs[0].bytes();
    let number = |value: usize| {
        let mut word = [0; 32];
        word[24..].copy_from_slice(&(value as u64).to_be_bytes());
        word
    };
    for offset in [
        0,
        0x20,
        0x60,
        0x80,
        0xe0,
        proof.len(),
        proof.len() + 0x80,
        1 << 16,
        1 << 40,
    ] {
        for word in 0..proof.len() / 32 {
            let mut bad = proof.clone();
            bad[word * 32..][..32].copy_from_slice(&number(offset));
            assert!(
                bad == proof || !valid(&circuit, &bad, &values),
                "offset {offset} in word {word}"
            );
        }
        // A whole head in front, and the proof behind it cut to length.
        let head: Vec<u8> = [0x60, offset, offset + 32].iter().flat_map(|&o| number(o)).collect();
        let shifted = [head, proof.clone()].concat();
        assert!(!valid(&circuit, &shifted[..proof.len()], &values), "offset {offset}");
    }
}

#[test]
fn a_key_with_another_count_generators_or_srs_is_no_circuit() {
    let message = fixture("public").message();
    let change = |word: usize| {
        let mut bad = message.clone();
        bad.verifying_key[word * 32 + 31] ^= 1;
        Circuit::check(bad).unwrap_err()
    };
    assert!(matches!(change(2), CircuitError::KeyCount(_)));
    assert!(matches!(change(5), CircuitError::Settings(_)));
    for word in 10..14 {
        assert_eq!(change(word), CircuitError::Accumulator);
    }
    for word in 14..20 {
        assert_eq!(change(word), CircuitError::Generators);
    }
    for word in 20..24 {
        assert_eq!(change(word), CircuitError::Srs);
    }
    // Nor does it help to state what is not so.
    let mut claimed = message.clone();
    claimed.srs = srs_id(&PERPETUAL_POWERS_OF_TAU).to_vec();
    assert_eq!(Circuit::check(claimed), Err(CircuitError::Srs));
    // With the words of the public SRS put in, the circuit is well formed, and no proof of it verifies.
    let mut swapped = message.clone();
    for (index, word) in PERPETUAL_POWERS_OF_TAU.iter().enumerate() {
        swapped.verifying_key[(20 + index) * 32..][..32].copy_from_slice(word);
    }
    swapped.srs = srs_id(&PERPETUAL_POWERS_OF_TAU).to_vec();
    let circuit = Circuit::check(swapped).unwrap();
    let fixture = fixture("public");
    for (index, proof) in fixture.proofs.iter().enumerate() {
        assert!(!valid(&circuit, &proof.bytes(), &fixture.instances(index)));
    }
}

#[test]
fn damaged_and_hostile_keys_end_within_the_limit() {
    let fixture = fixture("public");
    let (good, values) = (fixture.message(), fixture.instances(0));
    let proof = fixture.proofs[0].bytes();
    let mut halted = 0;
    for word in 0..good.verifying_key.len() / 32 {
        if [2, 5].contains(&word) || (10..24).contains(&word) {
            continue; // refused above
        }
        for bytes in [[0u8; 32], [0xff; 32], words(&[0xffff])[0], words(&[0x20])[0]] {
            let mut bad = good.clone();
            bad.verifying_key[word * 32..][..32].copy_from_slice(&bytes);
            let circuit = Circuit::check(bad).unwrap();
            match verify(&circuit, &proof, &values) {
                Ok(verdict) => assert!(verdict.evm_gas <= evm_gas_limit(&circuit)),
                Err(error) => {
                    assert!(matches!(error, VerifyError::Halted(_)), "{error}");
                    halted += 1;
                }
            }
        }
    }
    assert!(halted > 0, "no key here is hostile enough");
    // Nothing but noise, of every size that is allowed.
    for words in [24, 25, 100, 1024] {
        let mut noise = good.clone();
        let fixed = noise.verifying_key[..24 * 32].to_vec();
        let rest = (24..words).flat_map(|word| Sha256::digest([word as u8, (word >> 8) as u8]));
        noise.verifying_key = fixed.into_iter().chain(rest).collect();
        let circuit = Circuit::check(noise).unwrap();
        assert!(!verify(&circuit, &proof, &values).is_ok_and(|verdict| verdict.valid));
    }
}

#[test]
fn a_key_that_never_ends_is_stopped_at_the_limit_whatever_its_lengths() {
    let (key, proof, values) = Endless::LEAST;
    for lengths in [
        (key, proof, values),
        (1024, proof, values),
        (key, 512, values),
        (1024, 512, values),
        (key, proof, 4096),
        (1024, 512, 4096),
    ] {
        let endless = Endless::new(lengths);
        let circuit = Circuit::check(endless.message).unwrap();
        let claim = Claim {
            inputs: &[tensor("x", &endless.inputs)],
            hashes: &[],
            outputs: &[tensor("y", &endless.outputs)],
        };
        let values = instances(&circuit, &claim).unwrap();
        let error = verify(&circuit, &endless.proof, &values).unwrap_err();
        assert!(matches!(error, VerifyError::Halted(_)), "{lengths:?}: {error}");
    }
}

#[test]
fn hashes_are_named_apart() {
    let good = fixture("hashed").message();
    let of_weights = |name: &str| {
        let mut message = good.clone();
        message.settings.as_mut().unwrap().param_visibility = Visibility::Hashed.into();
        let mut hash = message.instances[0].clone();
        hash.role = InstanceRole::WeightsHash.into();
        hash.name = name.into();
        message.instances.insert(1, hash);
        let count = message.verifying_key[2 * 32 + 31] + 1;
        message.verifying_key[2 * 32 + 31] = count;
        message
    };
    for name in ["x", ""] {
        let error = Circuit::check(of_weights(name)).unwrap_err();
        assert!(matches!(error, CircuitError::Value { index: 1, .. }), "{error}");
    }
    // The same name for a hash and an output is none twice.
    let circuit = Circuit::check(of_weights("y")).unwrap();
    let proof = &fixture("hashed").proofs[0];
    let read = |names: [&str; 2]| {
        let values = [[0; 32], [1; 32]].map(|value| value.to_vec());
        let hashes = [hash(names[0], &values[0]), hash(names[1], &values[1])];
        let claim = Claim {
            inputs: &[],
            hashes: &hashes,
            outputs: &[tensor("y", &proof.outputs)],
        };
        instances(&circuit, &claim)
    };
    let words = read(["x", "y"]).unwrap();
    assert_eq!(words[..2], [[0; 32], [1; 32]]);
    assert_eq!(read(["y", "x"]).unwrap()[..2], [[1; 32], [0; 32]]);
    for names in [["", "y"], ["x", "x"], ["x", "z"]] {
        assert_eq!(read(names).unwrap_err().code(), ErrorCode::InstanceMismatch);
    }
}

#[test]
fn circuits_have_one_encoding_and_limits() {
    use prost::Message;

    let good = fixture("public").message();
    let bytes = good.encode_to_vec();
    assert_eq!(Circuit::decode(&bytes), Circuit::check(good.clone()));
    // Cut behind a field, it is another circuit where it may do without the others: `reproducible`, and then the models.
    let reproducible = bytes.len() - 2;
    let models = reproducible - 2 - good.models[0].encoded_len();
    for end in 0..bytes.len() {
        match Circuit::decode(&bytes[..end]) {
            Ok(cut) => assert!(
                [models, reproducible].contains(&end) && !cut.reproducible(),
                "cut at {end}"
            ),
            Err(_) => assert!(![models, reproducible].contains(&end), "cut at {end}"),
        }
    }
    for tail in [&[0x08, 0x01][..], &[0x08, 0x00], &[0xf8, 0x01, 0x01], &[0]] {
        let longer = [bytes.as_slice(), tail].concat();
        assert_eq!(Circuit::decode(&longer), Err(CircuitError::Malformed), "{tail:?}");
    }
    assert!(matches!(
        Circuit::decode(&vec![0; 1 << 20]),
        Err(CircuitError::TooLarge(_))
    ));
    type Change = fn(&mut aiinference_types::v1::Circuit);
    let changes: [(&str, Change); 22] = [
        ("scheme", |c| c.scheme = 2),
        ("short key", |c| c.verifying_key.truncate(23 * 32)),
        ("odd key", |c| c.verifying_key.push(0)),
        ("long key", |c| c.verifying_key.resize(1025 * 32, 0)),
        ("no proof", |c| c.proof_bytes = 0),
        ("odd proof", |c| c.proof_bytes += 1),
        ("long proof", |c| c.proof_bytes = 1 << 20),
        ("no values", |c| c.instances.clear()),
        ("count", |c| c.instances[0].shape = vec![9]),
        ("no elements", |c| c.instances[0].shape = vec![8, 0]),
        ("huge", |c| c.instances[0].shape = vec![u32::MAX; 6]),
        ("range", |c| c.instances[0].low = c.instances[0].high + 1),
        ("wide range", |c| c.instances[1].high = 1 << 31),
        ("fraction bits", |c| c.instances[0].fraction_bits = 63),
        ("role", |c| c.instances[0].role = 9),
        ("order", |c| c.instances.swap(0, 1)),
        ("name", |c| c.instances[0].name = "x".repeat(129)),
        ("settings", |c| c.settings = None),
        ("srs", |c| c.srs.clear()),
        ("visibility", |c| c.settings.as_mut().unwrap().input_visibility = 3),
        ("no models", |c| c.models.clear()),
        ("checksum", |c| c.models[0].checksum.clear()),
    ];
    for (what, change) in changes {
        let mut bad = good.clone();
        change(&mut bad);
        let error = Circuit::check(bad).expect_err(what);
        assert!(
            matches!(error.code(), ErrorCode::InvalidCircuit | ErrorCode::UnknownScheme),
            "{what}"
        );
    }
    let mut twice = good.clone();
    twice.instances.push(twice.instances[1].clone());
    assert!(matches!(
        Circuit::check(twice),
        Err(CircuitError::Value { index: 2, .. })
    ));
}

#[test]
fn a_claim_is_read_by_names_shapes_and_ranges() {
    let fixture = fixture("public");
    let circuit = fixture.circuit();
    let (x, y) = (fixture.proofs[0].inputs.clone(), fixture.proofs[0].outputs.clone());
    let read = |inputs: &[Tensor], outputs: &[Tensor]| {
        let hashes = &[];
        instances(
            &circuit,
            &Claim {
                inputs,
                hashes,
                outputs,
            },
        )
        .map_err(|error| error.code())
    };
    let (a, b) = (tensor("x", &x), tensor("y", &y));
    assert_eq!(
        read(from_ref(&a), from_ref(&b)).unwrap(),
        [words(&x), words(&y)].concat()
    );
    assert_eq!(
        read(&[tensor("", &x)], &[tensor("", &y)]),
        read(from_ref(&a), from_ref(&b))
    );
    for (inputs, outputs) in [
        (vec![], vec![b.clone()]),
        (vec![a.clone()], vec![]),
        (vec![a.clone(), a.clone()], vec![b.clone()]),
        (vec![b.clone()], vec![a.clone()]),
        (vec![a.clone()], vec![b.clone(), tensor("", &y)]),
        (vec![tensor("z", &x)], vec![b.clone()]),
    ] {
        assert_eq!(read(&inputs, &outputs), Err(ErrorCode::InstanceMismatch));
    }
    assert_eq!(
        read(&[tensor("x", &x[1..])], from_ref(&b)),
        Err(ErrorCode::ShapeMismatch)
    );
    for (index, value) in [
        (0, fixture.low - 1),
        (7, fixture.high + 1),
        (3, i32::MIN),
        (3, i32::MAX),
    ] {
        let mut far = x.clone();
        far[index] = value;
        assert_eq!(read(&[tensor("x", &far)], from_ref(&b)), Err(ErrorCode::OutOfRange));
    }
    let far = [fixture.bound + 1, 0, 0];
    assert_eq!(read(from_ref(&a), &[tensor("y", &far)]), Err(ErrorCode::OutOfRange));
    let mut torn = b.clone();
    torn.data.pop();
    assert_eq!(read(from_ref(&a), &[torn]), Err(ErrorCode::MalformedTensor));
    // Half of an output's unit: rounded, it would be the output that was proven.
    let mut halves = tensor("y", &[2 * y[0] - 1, 2 * y[1], 2 * y[2]]);
    halves.fraction_bits = 1;
    assert_eq!(read(&[a], &[halves]), Err(ErrorCode::MalformedTensor));
}

#[test]
fn outputs_are_read_the_same_however_they_are_given() {
    let fixture = fixture("public");
    let circuit = fixture.circuit();
    let y = fixture.proofs[0].outputs.clone();
    let read = |output: Tensor| {
        let claim = Claim {
            outputs: &[output],
            ..Claim::default()
        };
        outputs(&circuit, &claim)
    };
    let bound = fixture.bound;
    let canonical = Tensor::from_integers("y".into(), vec![1, y.len() as u32], 0, -bound, bound, &y);
    let mut quarters = tensor("", &y.iter().map(|y| 4 * y).collect::<Vec<_>>());
    quarters.fraction_bits = 2;
    let mut decimals = tensor("y", &y);
    decimals.data_type = DataType::Decimal.into();
    let atomics = y.iter().map(|&y| i128::from(y) * 10i128.pow(18));
    decimals.data = atomics.flat_map(i128::to_le_bytes).collect();
    for given in [tensor("y", &y), tensor("", &y), quarters, decimals, canonical.clone()] {
        assert_eq!(read(given).unwrap(), std::slice::from_ref(&canonical));
    }
    assert!(read(tensor("y", &y[1..])).is_err());
}

#[test]
fn a_hash_is_32_bytes_below_the_order() {
    let fixture = fixture("hashed");
    let circuit = fixture.circuit();
    assert_eq!(circuit.values()[0].role, InstanceRole::InputHash);
    let good = fixture.proofs[0].hash();
    let outputs = [tensor("y", &fixture.proofs[0].outputs)];
    for bad in [
        vec![],
        good[1..].to_vec(),
        [good.clone(), vec![0]].concat(),
        vec![0xff; 32],
        FIELD_ORDER.to_vec(),
    ] {
        let claim = Claim {
            inputs: &[],
            hashes: &[hash("x", &bad)],
            outputs: &outputs,
        };
        assert_eq!(
            instances(&circuit, &claim).unwrap_err().code(),
            ErrorCode::MalformedHash
        );
    }
    // The inputs in the open are no values of this circuit.
    let claim = Claim {
        inputs: &[tensor("x", &fixture.proofs[0].inputs)],
        hashes: &[hash("x", &good)],
        outputs: &outputs,
    };
    assert_eq!(
        instances(&circuit, &claim).unwrap_err().code(),
        ErrorCode::InstanceMismatch
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn no_changed_byte_is_taken(at in any::<prop::sample::Index>(), mask in 1u8.., hashed in any::<bool>()) {
        let fixture = fixture(if hashed { "hashed" } else { "public" });
        let mut proof = fixture.proofs[0].bytes();
        let at = at.index(proof.len());
        proof[at] ^= mask;
        prop_assert!(!valid(&fixture.circuit(), &proof, &fixture.instances(0)));
    }

    #[test]
    fn any_key_ends_within_the_limit(changes in prop::collection::vec((24usize..173, any::<prop::sample::Index>(), any::<u8>()), 1..40)) {
        let fixture = fixture("public");
        let mut message = fixture.message();
        for (word, byte, value) in changes {
            // Among the low bytes, where lengths and places are.
            message.verifying_key[word * 32 + 24 + byte.index(8)] = value;
        }
        let circuit = Circuit::check(message).unwrap();
        match verify(&circuit, &fixture.proofs[0].bytes(), &fixture.instances(0)) {
            Ok(verdict) => prop_assert!(verdict.evm_gas <= evm_gas_limit(&circuit)),
            Err(error) => prop_assert!(matches!(error, VerifyError::Halted(_))),
        }
    }
}
