//! The command line.

mod backbone;
mod captioning;
mod detector;
mod precision;
mod question;
mod retrieval;
mod task;

use std::path::PathBuf;

use backbone::Backbone;
use captioning::{Captioning, NoCaps};
use clap::{Args, Parser, Subcommand, ValueEnum};
use detector::Detector;
use finetune::score::{self, Error, Form, Metric};
use question::{OnePicture, TwoPictures};
use retrieval::{ByPicture, ByText, Retrieval};
use task::Task;

/// Fine-tuning, evaluation and scoring of the seven tasks.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Scores of results that are there already
    #[command(subcommand)]
    Score(Score),
    /// EfficientNet and ResNeXt
    #[command(subcommand)]
    Backbone(Backbone),
    /// Regions of pictures: boxes, classes, attributes, vectors
    #[command(subcommand)]
    Detector(Detector),
    /// Pictures that captions describe
    #[command(subcommand)]
    ImageRetrieval(Retrieval<ByText>),
    /// Captions that describe pictures
    #[command(subcommand)]
    TextRetrieval(Retrieval<ByPicture>),
    /// Captions of pictures
    #[command(subcommand)]
    Captioning(Captioning),
    /// Captions of pictures that show what training captions do not name
    #[command(subcommand)]
    Nocaps(NoCaps),
    /// Questions about pictures, answered from a vocabulary
    #[command(subcommand)]
    Vqa(Task<OnePicture>),
    /// Compositional questions about pictures
    #[command(subcommand)]
    Gqa(Task<OnePicture>),
    /// Statements that are true or false of two pictures
    #[command(subcommand)]
    Nlvr2(Task<TwoPictures>),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Score {
    /// BLEU, ROUGE-L, CIDEr, METEOR, SPICE of captions
    Captioning(CaptioningArguments),
    /// Captions by the domains of NoCaps
    Nocaps(CaptioningArguments),
    /// VQA accuracy
    Vqa {
        /// Official questions
        #[arg(long)]
        questions: PathBuf,
        /// Official annotations
        #[arg(long)]
        annotations: PathBuf,
        /// A list of {question_id, answer}
        #[arg(long)]
        results: PathBuf,
        #[command(flatten)]
        output: Output,
    },
    /// GQA accuracy, consistency, validity, plausibility, distribution
    Gqa {
        /// Official questions; for consistency the file of all of them
        #[arg(long)]
        questions: PathBuf,
        /// A list of {questionId, prediction}
        #[arg(long)]
        predictions: PathBuf,
        /// Official choices: valid and plausible answers
        #[arg(long)]
        choices: Option<PathBuf>,
        #[command(flatten)]
        output: Output,
    },
    /// NLVR2 accuracy and consistency
    Nlvr2 {
        /// Official JSON lines
        #[arg(long)]
        data: PathBuf,
        /// Lines of identifier,True|False
        #[arg(long)]
        predictions: PathBuf,
        #[command(flatten)]
        output: Output,
    },
    /// Recall at 1, 5 and 10, from pictures to captions and back
    Retrieval {
        /// Pictures x captions, .npy or .json
        #[arg(long)]
        scores: PathBuf,
        /// Column j belongs to picture j / N
        #[arg(long, value_name = "N", default_value_t = 5)]
        captions_per_image: usize,
        #[command(flatten)]
        output: Output,
    },
    /// Average precision and recall of boxes, as pycocotools computes them
    Detection {
        /// Instances in COCO's layout
        #[arg(long)]
        truth: PathBuf,
        /// A list of {image_id, category_id, bbox, score}
        #[arg(long)]
        predictions: PathBuf,
        #[command(flatten)]
        output: Output,
    },
    /// Counts document frequencies for CIDEr-D
    DocumentFrequencies {
        /// Reference captions
        #[arg(long)]
        references: PathBuf,
        /// The JSON to write
        #[arg(long)]
        out: PathBuf,
        /// The captions are tokens already
        #[arg(long)]
        tokenized: bool,
        /// Put <eos> behind each caption, as self-critical training does
        #[arg(long)]
        eos: bool,
        #[command(flatten)]
        output: Output,
    },
}

#[derive(Debug, Args)]
pub(crate) struct CaptioningArguments {
    /// Reference captions: COCO's layout, or a list of {image_id, refs} or {image_id, caption}
    #[arg(long)]
    references: PathBuf,
    /// A list of {image_id, caption}
    #[arg(long)]
    candidates: PathBuf,
    /// Both are tokens already: split them at spaces only
    #[arg(long)]
    tokenized: bool,
    /// Which scores; without it all that the given data allow
    #[arg(long, value_delimiter = ',')]
    metrics: Vec<MetricArgument>,
    /// CIDErD over these frequencies besides: the original's pickle, or our JSON
    #[arg(long, value_name = "FILE")]
    document_frequencies: Option<PathBuf>,
    /// METEOR's word data: a METEOR 1.5 folder, or its jar
    #[arg(long, value_name = "DIR|JAR")]
    meteor_data: Option<PathBuf>,
    /// SPICE's jar; needs java
    #[arg(long, value_name = "JAR")]
    spice_jar: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Output {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum MetricArgument {
    Bleu,
    Rouge,
    Cider,
    Meteor,
    Spice,
}

impl From<MetricArgument> for Metric {
    fn from(argument: MetricArgument) -> Self {
        match argument {
            MetricArgument::Bleu => Self::Bleu,
            MetricArgument::Rouge => Self::Rouge,
            MetricArgument::Cider => Self::Cider,
            MetricArgument::Meteor => Self::Meteor,
            MetricArgument::Spice => Self::Spice,
        }
    }
}

impl Score {
    /// Computes what was asked for, and writes it out.
    pub(crate) fn run(self) -> Result<String, Error> {
        match self {
            Self::Captioning(arguments) => {
                let form = arguments.output.form();
                score::Captioning::from(arguments).run(form)
            }
            Self::Nocaps(arguments) => {
                let form = arguments.output.form();
                score::NoCaps(arguments.into()).run(form)
            }
            Self::Vqa { questions, annotations, results, output } => {
                score::Vqa { questions, annotations, results }.run(output.form())
            }
            Self::Gqa { questions, predictions, choices, output } => {
                score::Gqa { questions, predictions, choices }.run(output.form())
            }
            Self::Nlvr2 { data, predictions, output } => {
                score::Nlvr2 { data, predictions }.run(output.form())
            }
            Self::Retrieval { scores, captions_per_image, output } => {
                score::Retrieval { scores, captions_per_image }.run(output.form())
            }
            Self::Detection { truth, predictions, output } => {
                score::Detection { truth, predictions }.run(output.form())
            }
            Self::DocumentFrequencies { references, out, tokenized, eos, output } => {
                let asked = score::DocumentFrequencies { references, out, tokenized, end_of_caption: eos };
                asked.run(output.form())
            }
        }
    }
}

impl Output {
    fn form(self) -> Form {
        if self.json { Form::Json } else { Form::Table }
    }
}

impl From<CaptioningArguments> for score::Captioning {
    fn from(arguments: CaptioningArguments) -> Self {
        Self {
            references: arguments.references,
            candidates: arguments.candidates,
            tokenized: arguments.tokenized,
            metrics: arguments.metrics.into_iter().map(Metric::from).collect(),
            document_frequencies: arguments.document_frequencies,
            meteor_data: arguments.meteor_data,
            spice_jar: arguments.spice_jar,
        }
    }
}
