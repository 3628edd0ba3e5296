//! Oscar (Paper: 2004.06165): the model, its two objectives, and the loop that pre-trains it.
//!
//! A sample is a word-tag-region triple (w, q, v). [`objectives`] hides some of its words and tags and sometimes exchanges
//! the tags (or the words) for those of another picture; what comes out is an [`Example`]. [`model`] reads examples end to
//! end, without padding, and says which tokens were hidden and whether the three belong together.

mod bench;
mod convert;
pub mod data;
mod device;
mod error;
mod example;
mod forward;
mod inspect;
pub mod model;
pub mod objectives;
mod presets;
pub mod train;

pub use bench::{Bench, Report};
pub use convert::{Conversion, Converted, Filled, Told};
pub use device::DeviceChoice;
pub use error::{Error, Result};
pub use example::Example;
pub use forward::forward;
pub use inspect::{Inspection, inspect};
pub use presets::{PRESETS, preset_sizes};
