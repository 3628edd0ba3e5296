//! Questions about pictures: VQA (Paper: 1612.00837) and GQA (Paper: 1902.09506).

mod gqa;
mod question_lists;
mod vqa;

pub use gqa::Gqa;
pub use vqa::Vqa;

#[cfg(test)]
mod tests;
