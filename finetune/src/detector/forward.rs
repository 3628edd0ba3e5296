//! `finetune detector forward`: a prepared picture in, all that the network says of it out.

use std::path::PathBuf;
use std::time::Instant;

use candle_core::{Device, Tensor};
use finetune_regions::detector::Detector;
use serde_json::{Value, json};

use super::Error;

/// Runs a detector's network over a picture that is prepared already.
#[derive(Debug, Clone)]
pub struct Forward {
    /// The detector's folder.
    pub model: PathBuf,
    /// .safetensors with `x`, f32 \[1, 3, h, w\].
    pub inputs: PathBuf,
    /// The .safetensors to write.
    pub out: PathBuf,
    /// How often, to be timed; the first time makes ready what the others find ready.
    pub repeats: usize,
}

impl Forward {
    /// Writes the file, whole or not at all; what is in it.
    ///
    /// # Errors
    /// A detector or a picture that does not fit; files that cannot be read or written.
    pub fn run(&self) -> Result<Value, Error> {
        let x_bchw = self.picture()?;
        let detector = Detector::open(&self.model)?;
        let mut seconds = Vec::with_capacity(self.repeats);
        let said = loop {
            let started = Instant::now();
            let said = detector.forward(&x_bchw)?;
            seconds.push(started.elapsed().as_secs_f64());
            if seconds.len() >= self.repeats {
                break said;
            }
        };
        let shapes: serde_json::Map<String, Value> =
            said.iter().map(|(name, tensor)| ((*name).to_owned(), json!(tensor.dims()))).collect();
        let bytes = safetensors::serialize(said, None).map_err(candle_core::Error::from)?;
        data_specs::durable::write_durably(&self.out, &bytes, "forward")?;
        Ok(json!({ "out": self.out.display().to_string(), "shapes": shapes, "seconds": seconds }))
    }

    fn picture(&self) -> Result<Tensor, Error> {
        let path = &self.inputs;
        let bytes = std::fs::read(path).map_err(|source| Error::Read { path: path.clone(), source })?;
        let refuse = |problem: String| Error::Inputs { path: path.clone(), problem };
        let tensors = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu).map_err(|error| {
            refuse(format!("is no .safetensors file ({error}); save x as f32 [1, 3, h, w] in one"))
        })?;
        let x = tensors.get("x").ok_or_else(|| refuse("holds no tensor x; name the picture x".to_owned()))?;
        match x.dims() {
            [1, 3, h, w] if *h > 0 && *w > 0 && x.dtype() == candle_core::DType::F32 => Ok(x.clone()),
            dims => {
                Err(refuse(format!("x is {dims:?} of {:?}; it has to be [1, 3, h, w] of F32", x.dtype())))
            }
        }
    }
}
