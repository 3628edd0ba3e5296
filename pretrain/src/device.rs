//! Where a network computes.

use std::fmt::{Display, Formatter};
use std::str::FromStr;

use candle_core::Device;
use candle_core::utils::cuda_is_available;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Where a network computes, as it is written: `cpu`, `cuda` or `cuda:N`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum DeviceChoice {
    /// The processor.
    #[default]
    Cpu,
    /// A GPU of NVIDIA's: this one, or else that whose number the rank has on its machine.
    Cuda(Option<usize>),
}

impl DeviceChoice {
    /// The device, for the rank that is `local_rank` on its machine. To be called once for a network and all that it reads:
    /// tensors of two openings do not know that they are on one GPU.
    ///
    /// # Errors
    /// [`Error::Setting`]: a program that was built without CUDA, a GPU that is not there.
    pub fn open(self, local_rank: usize) -> Result<Device> {
        let Some(number) = self.number(local_rank) else { return Ok(Device::Cpu) };
        let refuse = |problem: String, hint: &str| {
            Err(Error::Setting { key: format!("the device {self}"), problem, hint: hint.to_owned() })
        };
        if !cuda_is_available() {
            let problem = "cannot be used: this program was built without CUDA".to_owned();
            return refuse(problem, "compute on the cpu, or build with `--features cuda` (docs/gpus.md)");
        }
        Device::new_cuda(number).or_else(|error| {
            let reason = error.to_string();
            let reason = reason.lines().next().unwrap_or_default();
            let problem = format!("cannot be used: there is no such GPU as number {number} ({reason})");
            refuse(problem, "compute on the cpu; `nvidia-smi` lists GPUs, CUDA_VISIBLE_DEVICES hides some")
        })
    }

    /// The GPU's number, if it is one.
    pub fn number(self, local_rank: usize) -> Option<usize> {
        match self {
            Self::Cpu => None,
            Self::Cuda(number) => Some(number.unwrap_or(local_rank)),
        }
    }
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text.split_once(':') {
            None if text == "cpu" => Ok(Self::Cpu),
            None if text == "cuda" => Ok(Self::Cuda(None)),
            Some(("cuda", number)) if number.parse::<u16>().is_ok() => Ok(Self::Cuda(number.parse().ok())),
            _ => Err(format!("`{text}` is no device; write cpu, cuda or cuda:N")),
        }
    }
}

impl TryFrom<String> for DeviceChoice {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, String> {
        text.parse()
    }
}

impl From<DeviceChoice> for String {
    fn from(device: DeviceChoice) -> Self {
        device.to_string()
    }
}

impl Display for DeviceChoice {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(None) => f.write_str("cuda"),
            Self::Cuda(Some(number)) => write!(f, "cuda:{number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_and_read() {
        for (text, number) in [("cpu", None), ("cuda", Some(3)), ("cuda:0", Some(0)), ("cuda:11", Some(11))] {
            let device: DeviceChoice = text.parse().unwrap();
            assert_eq!((device.to_string().as_str(), device.number(3)), (text, number));
            assert_eq!(serde_json::to_string(&device).unwrap(), format!("\"{text}\""));
        }
        for text in ["", "gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:1:2", "metal:0"] {
            let error = text.parse::<DeviceChoice>().unwrap_err();
            assert!(error.contains("write cpu, cuda or cuda:N"), "{error}");
        }
    }

    #[test]
    fn what_is_not_there_is_told_with_a_remedy() {
        assert!(DeviceChoice::Cpu.open(0).unwrap().is_cpu());
        // no machine has so many
        let error = DeviceChoice::Cuda(Some(999)).open(0).unwrap_err();
        assert!(error.is_usage());
        let text = error.to_string();
        let reason = if cuda_is_available() { "no such GPU as number 999" } else { "built without CUDA" };
        assert!(text.contains("cuda:999") && text.contains(reason) && text.contains("hint:"), "{text}");
    }
}
