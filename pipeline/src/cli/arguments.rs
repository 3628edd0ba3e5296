//! What a user may type.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// From feature files and captions to verified Parquet shards of word-tag-region triples.
#[derive(Debug, Parser)]
#[command(name = "pipeline", version, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Build a data set; the same command again continues an interrupted build
    Build(BuildArguments),
    /// Plan a build without running it, for tasks in separate processes
    Plan(PlanArguments),
    /// Run one task of a planned build
    RunTask(RunTaskArguments),
    /// Write the manifest of a planned build whose tasks are done
    Commit(DatasetArguments),
    /// Build again the rejects whose cause was not in the data
    Retry(DatasetArguments),
    /// Read every byte of a data set and compare it with its manifest
    Verify(DatasetArguments),
    /// Count what is in a data set
    Stats(StatsArguments),
    /// Print rows as text
    Peek(PeekArguments),
    /// Say where a row went: into which shard, or why into none
    Explain(ExplainArguments),
    /// Say whether two data sets see the same in the same pictures, so that a model can read both
    FeaturesCheck(FeaturesCheckArguments),
    /// Train a WordPiece vocabulary on the texts and tags of data sets
    Vocabulary(VocabularyArguments),
    /// Measure how fast shards become training batches here
    Bench(BenchArguments),
    /// Draw a corpus with known content, in the layouts of COCO, VQA, GQA, NLVR2, NoCaps and others
    Synth(SynthArguments),
    /// Measure how far one gets in a drawn corpus without looking; the table goes into its README
    SynthBaselines(SynthBaselinesArguments),
}

#[derive(Debug, Args)]
pub(crate) struct SpecArguments {
    /// Corpus spec (TOML), for example data-specs/corpora/lxmert-tsv.toml
    pub(crate) spec: PathBuf,
    /// Override a key of the spec, or one of its short names: features=FILE, shard.rows=1000
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct BuildArguments {
    #[command(flatten)]
    pub(crate) spec: SpecArguments,
    /// Folder of the data set
    #[arg(long)]
    pub(crate) out: PathBuf,
    /// Worker threads [default: all cores]; no number changes the result
    #[arg(long)]
    pub(crate) threads: Option<usize>,
    /// Say what would be built, and how much space it takes, without building
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PlanArguments {
    #[command(flatten)]
    pub(crate) spec: SpecArguments,
    /// Folder of the data set
    #[arg(long)]
    pub(crate) out: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RunTaskArguments {
    /// Folder of the data set
    pub(crate) dataset: PathBuf,
    /// Task number [default: PIPELINE_TASK, SLURM_ARRAY_TASK_ID, JOB_COMPLETION_INDEX or
    /// OMPI_COMM_WORLD_RANK of the environment]
    pub(crate) task: Option<usize>,
    /// Worker threads [default: all cores]
    #[arg(long)]
    pub(crate) threads: Option<usize>,
}

#[derive(Debug, Args)]
pub(crate) struct DatasetArguments {
    /// Folder of the data set
    pub(crate) dataset: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct StatsArguments {
    /// Folder of the data set
    pub(crate) dataset: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    /// Worker threads [default: all cores]
    #[arg(long)]
    pub(crate) threads: Option<usize>,
    /// Also write a page with histograms
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct PeekArguments {
    /// Folder of the data set
    pub(crate) dataset: PathBuf,
    /// First row
    #[arg(long, default_value_t = 0)]
    pub(crate) from: u64,
    /// Number of rows
    #[arg(long, default_value_t = 3)]
    pub(crate) rows: u64,
    /// Show the row of this key or picture id instead
    #[arg(long, conflicts_with_all = ["from", "rows"])]
    pub(crate) key: Option<String>,
    /// Also draw these rows, pictures with boxes and tags, into a PNG
    #[arg(long, value_name = "FILE")]
    pub(crate) png: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArguments {
    /// Folder of the data set
    pub(crate) dataset: PathBuf,
    /// Row key, picture id or text id
    pub(crate) key: String,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct FeaturesCheckArguments {
    /// Folder of the data set in question
    pub(crate) dataset: PathBuf,
    /// Folder of the data set that a model learned from
    pub(crate) other: PathBuf,
    /// Pictures to compare at most, evenly spread over those in both
    #[arg(long, default_value_t = 5000)]
    pub(crate) pictures: usize,
    /// Two regions are one from this intersection over union on
    #[arg(long, default_value_t = 0.5)]
    pub(crate) iou: f64,
    /// Share of the other's regions that have to be there
    #[arg(long, default_value_t = 0.9)]
    pub(crate) least_matched: f64,
    /// Median cosine of the vectors of a region that is asked for
    #[arg(long, default_value_t = 0.95)]
    pub(crate) least_cosine: f64,
    /// Jaccard index of a picture's tags that is asked for
    #[arg(long, default_value_t = 0.8)]
    pub(crate) least_tags: f64,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct VocabularyArguments {
    /// Folders of data sets
    #[arg(required = true, value_name = "DATASET")]
    pub(crate) datasets: Vec<PathBuf>,
    /// Folder for vocab.txt and tokenizer.json
    #[arg(long)]
    pub(crate) out: PathBuf,
    /// Tokens at most, special ones included
    #[arg(long, default_value_t = 30522)]
    pub(crate) size: usize,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct BenchArguments {
    /// Folder of the data set
    pub(crate) dataset: PathBuf,
    /// Pictures a batch
    #[arg(long, default_value_t = 64)]
    pub(crate) batch: usize,
    /// Regions a picture; more are left out, fewer are padded
    #[arg(long, default_value_t = 36)]
    pub(crate) regions: usize,
    /// Epochs; the first hashes every shard
    #[arg(long, default_value_t = 4)]
    pub(crate) epochs: u64,
}

#[derive(Debug, Args)]
pub(crate) struct SynthArguments {
    /// Pictures in all
    #[arg(long)]
    pub(crate) images: usize,
    /// Another seed, other pictures; the same seed, the same bytes
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Folder of the corpus, new or empty
    #[arg(long)]
    pub(crate) out: PathBuf,
    /// Description of the world (TOML) [default: the one in docs/synth.md]
    #[arg(long, value_name = "FILE")]
    pub(crate) world: Option<PathBuf>,
    /// Also draw 16 pictures with what is said about them into a PNG, to be confirmed by eye
    #[arg(long, value_name = "FILE")]
    pub(crate) contact_sheet: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SynthBaselinesArguments {
    /// Folder of the corpus
    pub(crate) corpus: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}
