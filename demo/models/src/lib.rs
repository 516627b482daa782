//! The ONNX models of `contracts/` as the Wasm modules that a chain stores: converted once, then kept in
//! `target/models/` under a name that changes with the model, its calibration data and the converter.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use aiinference_convert::{dyadic, ConvertError, Converter, Dataset, Options, OutOfRange};
use aiinference_runtime::{module, LoadedModel};
use aiinference_types::quantize::from_dyadic;
use sha2::{Digest, Sha256};

/// A model of `contracts/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its name, and that of the ONNX file.
    pub name: &'static str,
    /// Its golden vectors: a model that changes gets new ones under a new name.
    pub golden: &'static str,
    folder: &'static str,
    calibration: &'static str,
    labels: Option<&'static str>,
}

/// The tree ensemble of `credit-score`.
pub const GBDT: Source = Source {
    name: "gbdt",
    golden: "gbdt-2",
    folder: "contracts/credit-score/model",
    calibration: "calibration.npz",
    labels: Some("label"),
};
/// The perceptron of `credit-score`.
pub const MLP: Source = Source {
    name: "mlp",
    golden: "mlp-3",
    ..GBDT
};
/// The mood of `dynamic-nft`.
pub const MOOD: Source = Source {
    name: "mood",
    golden: "mood-3",
    folder: "contracts/dynamic-nft/model",
    calibration: "mood_calibration.npz",
    labels: None,
};
/// The painter of `dynamic-nft`.
pub const PAINTER: Source = Source {
    name: "painter",
    golden: "painter-4",
    calibration: "painter_calibration.npz",
    ..MOOD
};
/// All of them.
pub const ALL: [Source; 4] = [GBDT, MLP, MOOD, PAINTER];

/// Why a model cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file.
    #[error("converting the models of contracts/: {path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The conversion.
    #[error("converting {name}.onnx: {source}")]
    Convert {
        /// Which model.
        name: &'static str,
        /// Why.
        source: Box<ConvertError>,
    },
}

/// The tree ensemble of `credit-score`, as a module.
pub fn gbdt() -> Result<Vec<u8>, Error> {
    GBDT.module()
}

/// The perceptron of `credit-score`, as a module.
pub fn mlp() -> Result<Vec<u8>, Error> {
    MLP.module()
}

/// The mood of `dynamic-nft`, as a module.
pub fn mood() -> Result<Vec<u8>, Error> {
    MOOD.module()
}

/// The painter of `dynamic-nft`, as a module.
pub fn painter() -> Result<Vec<u8>, Error> {
    PAINTER.module()
}

/// The folder of the workspace.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The module of a contract as `make contracts` left it.
pub fn contract(name: &str) -> Result<Vec<u8>, Error> {
    let path = root().join("target/contracts").join(name).with_extension("wasm");
    fs::read(&path).map_err(|source| Error::File {
        source: io::Error::new(source.kind(), format!("{source}; run `make contracts`")),
        path,
    })
}

impl Source {
    /// The module, converted now or before.
    pub fn module(self) -> Result<Vec<u8>, Error> {
        let (onnx, data) = self.read()?;
        let mut key = Sha256::new();
        key.update(env!("CONVERTER"));
        key.update(Sha256::digest(&onnx));
        key.update(Sha256::digest(&data));
        let key = hex::encode(&key.finalize()[..8]);
        let folder = root().join("target/models");
        let path = folder.join(format!("{}-{key}.wasm", self.name));
        if let Ok(module) = fs::read(&path) {
            return Ok(module);
        }

        let module = self.convert_bytes(&onnx, &data)?;
        // Tests of several processes may convert at the same time: each writes a file of its own, and the last to
        // rename wins, with the same bytes.
        static WRITTEN: AtomicU32 = AtomicU32::new(0);
        let written = WRITTEN.fetch_add(1, Ordering::Relaxed);
        let part = path.with_extension(format!("{}-{written}", std::process::id()));
        let write = fs::create_dir_all(&folder).and_then(|()| fs::write(&part, &module));
        write
            .and_then(|()| fs::rename(&part, &path))
            .map_err(|source| Error::File { path, source })?;
        Ok(module)
    }

    /// The ONNX file.
    pub fn onnx_path(self) -> PathBuf {
        root().join(self.folder).join(format!("{}.onnx", self.name))
    }

    /// The data it is calibrated on.
    pub fn calibration_path(self) -> PathBuf {
        root().join(self.folder).join(self.calibration)
    }

    /// One sample of that data in a model's integers, per input; and how many samples there are.
    pub fn sample(self, model: &LoadedModel, sample: usize) -> Result<(Vec<Vec<i32>>, usize), Error> {
        let path = self.calibration_path();
        let lacking = |what: &str| Error::File {
            path: path.clone(),
            source: io::Error::other(format!("it lacks {what}")),
        };
        let bytes = fs::read(&path).map_err(|source| Error::File {
            path: path.clone(),
            source,
        })?;
        let data = Dataset::from_npz(&bytes).map_err(|source| Error::Convert {
            name: self.name,
            source: Box::new(source),
        })?;
        let mut samples = usize::MAX;
        let ports = model.program.inputs().iter().map(|port| {
            let array = data.get(&port.name).ok_or_else(|| lacking(&port.name))?;
            let count: usize = array.shape.iter().skip(1).product();
            samples = samples.min(array.shape.first().copied().unwrap_or(0));
            let values = array.values.get(sample * count..(sample + 1) * count);
            let integer = |x: &f64| {
                let (mantissa, exponent) = dyadic(*x);
                let q = from_dyadic(mantissa.into(), exponent, port.fraction_bits);
                q.clamp(port.low.into(), port.high.into()) as i32
            };
            Ok(values
                .ok_or_else(|| lacking("that sample"))?
                .iter()
                .map(integer)
                .collect())
        });
        let inputs = ports.collect::<Result<_, Error>>()?;
        Ok((inputs, samples))
    }

    /// The module, converted now.
    pub fn convert(self) -> Result<Vec<u8>, Error> {
        let (onnx, data) = self.read()?;
        self.convert_bytes(&onnx, &data)
    }

    fn read(self) -> Result<(Vec<u8>, Vec<u8>), Error> {
        let read = |path: PathBuf| fs::read(&path).map_err(|source| Error::File { path, source });
        Ok((read(self.onnx_path())?, read(self.calibration_path())?))
    }

    fn convert_bytes(self, onnx: &[u8], data: &[u8]) -> Result<Vec<u8>, Error> {
        let failed = |source| Error::Convert {
            name: self.name,
            source: Box::new(source),
        };
        let data = Dataset::from_npz(data).map_err(failed)?;
        let mut converter = Converter::new(onnx, &data).options(Options {
            out_of_range: OutOfRange::Saturate,
            ..Options::default()
        });
        if let Some(labels) = self.labels {
            converter = converter.labels(labels);
        }
        let graph = converter.convert().map_err(failed)?.graph;
        let encoded = aiinference_engine::format::encode(&graph);
        Ok(module::wrap(&encoded.graph, &encoded.weights))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn converting_twice_gives_the_same_bytes() {
        for source in ALL {
            let first = source.convert().unwrap();
            assert_eq!(first, source.convert().unwrap(), "{}", source.name);
            assert_eq!(first, source.module().unwrap(), "{}", source.name);
            assert!(matches!(module::sections(&first), Ok(Some(_))));
        }
    }
}
