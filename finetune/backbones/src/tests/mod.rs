//! Proof against timm and torchvision, by files in `golden/`, each with the script that wrote it.

mod changed;
pub(crate) mod drawn;
mod forward;
mod gradients;
mod loading;
mod numbers;
mod random;
