//! The integration binary: the project from outside, as its users meet it.

#![expect(clippy::unwrap_used, reason = "a failed step ends the test")]

mod architecture; // rules of the house
mod captions; // captioning and NoCaps: shards to captions to scores
mod convert; // published weights to a model folder, and what is told of them
mod corpora; // every kind of text through the whole engine
mod detection; // what a detector learns from and is scored by
mod doors; // the documented commands on real files
mod kills; // kill -9 anywhere, run again, nothing lost or doubled
mod mutants; // damaged inputs through the whole engine
mod outside; // full disks, closed folders, rivals, signals, wrong words
mod paper_corpora; // the corpora of the papers from raw pictures
mod pictures; // raw pictures, boxes and backbones through the whole engine
mod pretraining; // drawn pictures to a pre-trained model; killed and resumed
mod questions; // one picture in, one answer out, as through shards; the commands of docs/own-pictures.md
mod ranks; // ranks that are processes: the same run, whatever happens to one of them
mod readme; // its commands run as they stand there
mod same_bytes; // threads and processes never change a byte; a changed plan is refused
mod synth; // the drawn corpus: written, built, measured, the same in every run
mod tasks; // VQA, GQA, NLVR2: shards to scores; killed and resumed
