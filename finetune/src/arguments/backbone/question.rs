//! What `finetune backbone scale` is asked.

use clap::Args;
use finetune::backbone::Question;

use super::usage;

#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub(crate) struct QuestionArguments {
    /// STEP 1: every alpha, beta, gamma with alpha beta^2 gamma^2 near 2
    #[arg(long, conflicts_with_all = ["phi", "compare", "coefficients"])]
    grid: bool,
    /// STEP 2: depth alpha^P, width beta^P, resolution gamma^P, for each P
    #[arg(long, value_name = "P,...", value_delimiter = ',', conflicts_with = "compare")]
    phi: Vec<f64>,
    /// Each dimension alone, and all together, at about N times the multiplications
    #[arg(long, value_name = "N,...", value_delimiter = ',')]
    compare: Vec<f64>,
    /// alpha, beta, gamma; without it the paper's 1.2,1.1,1.15
    #[arg(long, value_name = "A,B,C", value_delimiter = ',')]
    coefficients: Vec<f64>,
    /// Of --grid: between two values
    #[arg(long, value_name = "STEP", requires = "grid")]
    step: Option<f64>,
    /// Of --grid: how far the product may be from 2
    #[arg(long, value_name = "X", requires = "grid")]
    tolerance: Option<f64>,
    /// Of --grid: the largest value
    #[arg(long, value_name = "X", requires = "grid")]
    most: Option<f64>,
}

impl QuestionArguments {
    /// What is asked; a usage error where that is nothing, or half of something.
    pub(super) fn question(self) -> anyhow::Result<Question> {
        /// The grid in which the paper's coefficients are found, and these.
        const GRID: [f64; 3] = [0.05, 0.1, 1.5];
        const COEFFICIENTS: [f64; 3] = [1.2, 1.1, 1.15];
        let coefficients = match self.coefficients[..] {
            [] => COEFFICIENTS,
            [alpha, beta, gamma] => [alpha, beta, gamma],
            _ => return Err(usage("--coefficients takes three numbers: alpha,beta,gamma")),
        };
        if self.grid {
            let step = self.step.unwrap_or(GRID[0]);
            let (tolerance, most) = (self.tolerance.unwrap_or(GRID[1]), self.most.unwrap_or(GRID[2]));
            Ok(Question::Grid { step, tolerance, most })
        } else if !self.phi.is_empty() {
            Ok(Question::Phi { phis: self.phi, coefficients })
        } else if !self.compare.is_empty() {
            Ok(Question::Compare { budgets: self.compare, coefficients })
        } else {
            Err(usage("give --grid, --phi or --compare"))
        }
    }
}
