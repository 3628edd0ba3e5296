//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use pretrain::DeviceChoice;
use pretrain::model::RegionGeometry;
use pretrain_kernels::Precision;

/// Pre-training of Oscar: words, tags and regions with masked-token and contrastive loss.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Train on shards; the run's folder gets checkpoints, figures and the model
    Run {
        /// Settings in TOML; pretrain/configs has presets
        config: PathBuf,
        /// Another value for a setting
        #[arg(long, value_name = "SECTION.KEY=VALUE")]
        set: Vec<String>,
        /// The run's folder
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// Go on from the newest good checkpoint
        #[arg(long)]
        resume: bool,
        /// cpu, cuda or cuda:N; without it the settings' run.device. With `cuda` each rank takes the GPU of its number
        #[arg(long)]
        device: Option<DeviceChoice>,
        #[command(flatten)]
        ranks: Together,
        #[command(flatten)]
        output: Output,
    },
    /// Published weights become a model folder; prints what was used, renamed, unused and left fresh
    Convert {
        /// A folder with weights, config.json and vocabulary (BERT, Oscar, Oscar+), or a file of weights
        #[arg(long, value_name = "PATH")]
        from: PathBuf,
        /// The model folder to write
        #[arg(long, value_name = "DIR")]
        to: PathBuf,
        /// The config.json; without it the folder's
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// vocab.txt or tokenizer.json; without it the folder's
        #[arg(long, value_name = "FILE")]
        vocabulary: Option<PathBuf>,
        /// Leave a head out, for a training to draw: cls.predictions, cls.seq_relationship or classifier
        #[arg(long, value_name = "NAME=fresh", value_parser = fresh_head)]
        head: Vec<String>,
        /// What it was fine-tuned for, where the config does not say: captioning, gqa, image-retrieval, nlvr2,
        /// text-retrieval or vqa
        #[arg(long, value_name = "NAME")]
        task: Option<String>,
        /// Answers of a classifier by number: a list or map in JSON or pickled
        #[arg(long, value_name = "FILE")]
        labels: Option<PathBuf>,
        /// Order of a region's last two numbers, over the config's
        #[arg(long, value_name = "ORDER")]
        region_geometry: Option<Geometry>,
        #[command(flatten)]
        output: Output,
    },
    /// What a model folder or a run holds
    Inspect {
        /// A model folder, or the folder of a run
        path: PathBuf,
        #[command(flatten)]
        output: Output,
    },
    /// Hidden states, logits, losses and gradients of a batch in a file
    Forward {
        /// A model folder
        #[arg(long, value_name = "DIR")]
        model: PathBuf,
        /// A .safetensors with input_ids, token_type_ids, attention_mask, img_feats; labels by choice
        #[arg(long, value_name = "FILE")]
        inputs: PathBuf,
        /// The .safetensors to write
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Also grad.<parameter> of the sum of both losses
        #[arg(long)]
        gradients: bool,
        /// cpu, cuda or cuda:N
        #[arg(long, default_value_t)]
        device: DeviceChoice,
        #[command(flatten)]
        output: Output,
    },
    /// Speed of training steps on made-up samples
    Bench {
        /// debug, small, base, large, plus-base or plus-large
        #[arg(long, value_name = "NAME", default_value = "base")]
        preset: String,
        /// Ranks, as threads; they share samples and threads
        #[arg(long, value_name = "N", default_value_t = 1)]
        ranks: usize,
        /// Samples of a step
        #[arg(long, default_value_t = 16)]
        batch: usize,
        /// Tokens of a sample
        #[arg(long, default_value_t = 35)]
        text: usize,
        /// Regions of a sample
        #[arg(long, default_value_t = 50)]
        regions: usize,
        /// Numbers of products
        #[arg(long, default_value = "f32")]
        dtype: Number,
        /// Threads; without it one a core
        #[arg(long)]
        threads: Option<usize>,
        /// Steps that are measured
        #[arg(long, default_value_t = 5)]
        steps: usize,
        /// Compute activations again instead of keeping them
        #[arg(long)]
        recompute: bool,
        /// cpu, cuda or cuda:N
        #[arg(long, default_value_t)]
        device: DeviceChoice,
        #[command(flatten)]
        output: Output,
    },
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Together {
    /// Ranks; they share the micro-batches of each batch
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) ranks: usize,
    /// What ranks are; without it threads, or under mpirun its processes
    #[arg(long, value_name = "KIND")]
    pub(crate) comm: Option<Comm>,
    /// Start the ranks by this command, `mpirun -n 8` or `srun`, and again when one is lost
    #[arg(long, value_name = "COMMAND")]
    pub(crate) launch: Option<String>,
    /// Where processes that srun started meet for NCCL without MPI: file:PATH, a file that is not there yet
    #[arg(long, value_name = "file:PATH", value_parser = rendezvous, requires = "comm")]
    pub(crate) rendezvous: Option<PathBuf>,
    /// How often lost processes are started again from the last checkpoint
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub(crate) max_restarts: u32,
    /// How long a rank waits for the others before its process ends with code 75
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) collective_timeout: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Comm {
    /// Of this process
    Threads,
    /// Started by this one, on this machine
    Processes,
    /// Started by mpirun
    Mpi,
    /// Processes with a GPU each, over NCCL; started by this one, by mpirun, or by srun with --rendezvous
    Nccl,
}

/// `file:PATH`
fn rendezvous(text: &str) -> Result<PathBuf, String> {
    let path = text.strip_prefix("file:").filter(|path| !path.is_empty());
    path.map(PathBuf::from).ok_or_else(|| "write file:PATH, a file that all machines can see".to_owned())
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Number {
    F32,
    Bf16,
}

impl From<Number> for Precision {
    fn from(number: Number) -> Self {
        match number {
            Number::F32 => Self::F32,
            Number::Bf16 => Self::Bf16,
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Geometry {
    /// Width, height
    Wh,
    /// Height, width
    Hw,
}

impl From<Geometry> for RegionGeometry {
    fn from(geometry: Geometry) -> Self {
        match geometry {
            Geometry::Wh => Self::Wh,
            Geometry::Hw => Self::Hw,
        }
    }
}

fn fresh_head(text: &str) -> Result<String, String> {
    text.strip_suffix("=fresh").map(str::to_owned).ok_or_else(|| "a head can only be `NAME=fresh`".to_owned())
}

#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Output {
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}
