//! Ranks of `pretrain run`: which one this process is, or which processes it starts.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::ValueEnum;
use pretrain::train::{Outcome, Run, Settings};
use pretrain_comm::{Attempt, Collective, Deadline, Handover, Launch, Mpi, Nccl, Processes, Stuck};
use pretrain_training::Checkpoints;
use serde_json::json;

use crate::Exit;
use crate::arguments::{Comm, Together};
use crate::progress::Shown;

/// Told to the processes that a launcher starts: their rank, how many they are, and where they meet.
const RANK: &str = "OSCAR_RANK";
const WORLD: &str = "OSCAR_WORLD";
const SOCKET: &str = "OSCAR_SOCKET";
/// Told to them, too: standard input ends with the launcher.
const LAUNCHED: &str = "OSCAR_LAUNCHED";
/// How many processes mpirun and its like have started.
const MPI_WORLDS: [&str; 2] = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE"];
/// The number that a process has on its machine, by those who start them.
const LOCAL_RANKS: [&str; 3] = ["OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "SLURM_LOCALID"];
/// What srun says of rank and world.
const SLURM: [&str; 2] = ["SLURM_PROCID", "SLURM_NTASKS"];

/// How a training went, seen from one process.
pub(crate) enum Ended {
    /// This process trained; an outcome to tell only on rank 0.
    Trained(Outcome, bool),
    /// The processes that this one started ended with this code, and told the rest themselves.
    Launched(u8),
}

/// What a process is.
enum Place {
    Threads,
    Rank {
        rank: usize,
        world: usize,
        socket: PathBuf,
    },
    Mpi,
    /// Of those that srun started, which meet at a file.
    Rendezvous {
        rank: usize,
        world: usize,
        path: PathBuf,
    },
    Launcher,
}

impl Together {
    /// Trains, as whatever this process is.
    pub(crate) fn train(&self, run: &Run, json: bool, shown: &Shown) -> anyhow::Result<Ended> {
        let deadline = self.deadline(&run.out);
        if self.comm == Some(Comm::Nccl) {
            require_gpus(run)?;
        }
        match self.place()? {
            Place::Threads => Ok(Ended::Trained(run.in_threads(self.ranks, &deadline, shown)?, true)),
            Place::Launcher => Ok(Ended::Launched(self.launch(run, json, shown)?)),
            Place::Rank { rank, world, socket } => {
                end_with_the_launcher();
                let told = || format!("rank {rank} of {world}");
                let ranks = Processes::meet(&socket, rank, world, deadline.timeout)
                    .map_err(pretrain::Error::from)
                    .with_context(told)?;
                if self.comm == Some(Comm::Nccl) {
                    let handover = Handover::Ranks(&ranks);
                    return over_nccl(run, [rank, world], rank, handover, &deadline, shown)
                        .with_context(told);
                }
                let outcome = run.as_rank(&ranks, &deadline, shown).with_context(told)?;
                Ok(Ended::Trained(outcome, rank == 0))
            }
            Place::Rendezvous { rank, world, path } => {
                if rank == 0 && std::env::var_os(LAUNCHED).is_some() {
                    end_with_the_launcher();
                }
                let handover = Handover::File(&path);
                over_nccl(run, [rank, world], local_rank(rank)?, handover, &deadline, shown)
                    .with_context(|| format!("rank {rank} of {world}"))
            }
            Place::Mpi => {
                let ranks = Mpi::join().map_err(pretrain::Error::from)?;
                let (rank, world) = (ranks.rank(), ranks.world());
                if rank == 0 && std::env::var_os(LAUNCHED).is_some() {
                    end_with_the_launcher();
                }
                if self.ranks > 1 && self.ranks != world {
                    bail!("--ranks is {}, but MPI has started {world} processes; leave it out", self.ranks);
                }
                let told = || format!("rank {rank} of {world}");
                let local = local_rank(rank)?;
                let ended = if self.comm == Some(Comm::Nccl) {
                    let handover = Handover::Ranks(&ranks);
                    over_nccl(run, [rank, world], local, handover, &deadline, shown).with_context(told)?
                } else {
                    let run = Run { local_rank: Some(local), ..run.clone() };
                    let outcome = run.as_rank(&ranks, &deadline, shown).with_context(told)?;
                    Ended::Trained(outcome, rank == 0)
                };
                ranks.finish();
                Ok(ended)
            }
        }
    }

    fn place(&self) -> anyhow::Result<Place> {
        if let Some(rank) = number(RANK)? {
            let world = number(WORLD)?.with_context(|| format!("{RANK} is set, but not {WORLD}"))?;
            let socket =
                std::env::var_os(SOCKET).with_context(|| format!("{RANK} is set, but not {SOCKET}"))?;
            return Ok(Place::Rank { rank, world, socket: socket.into() });
        }
        if self.rendezvous.is_some() && self.comm != Some(Comm::Nccl) {
            bail!("--rendezvous is for --comm nccl; leave it out");
        }
        if self.launch.is_some() {
            return Ok(Place::Launcher);
        }
        if let Some(path) = &self.rendezvous {
            let [rank, world] = SLURM.map(number);
            let unset =
                || format!("--rendezvous needs ranks that srun has started, which sets {}", SLURM.join(", "));
            let (rank, world) = (rank?.with_context(unset)?, world?.with_context(unset)?);
            return Ok(Place::Rendezvous { rank, world, path: path.clone() });
        }
        let mut is_under_mpi = false;
        for name in MPI_WORLDS {
            is_under_mpi |= number(name)?.is_some_and(|world| world > 1);
        }
        Ok(match self.comm {
            Some(Comm::Nccl) if is_under_mpi => Place::Mpi,
            Some(Comm::Processes | Comm::Nccl) => Place::Launcher,
            Some(Comm::Mpi) => Place::Mpi,
            Some(Comm::Threads) => Place::Threads,
            None if is_under_mpi => Place::Mpi,
            None => Place::Threads,
        })
    }

    /// What ends this process when the others do not come: at once, since what is stuck cannot be waited for.
    fn deadline(&self, out: &Path) -> Deadline {
        let notes = out.join("stuck.jsonl");
        let on_stuck = move |stuck: &Stuck| {
            let note = json!({
                "rank": stuck.rank,
                "world": stuck.world,
                "step": stuck.step,
                "operation": stuck.operation,
                "seconds": stuck.waited.as_secs_f64(),
                "reason": stuck.reason.as_ref().map(ToString::to_string),
            });
            // the process ends whether or not there is room to say why
            let _ = writeln!(std::io::stderr(), "{stuck}; the process ends with code 75");
            let file = std::fs::OpenOptions::new().create(true).append(true).open(&notes);
            let _ = file.and_then(|mut file| writeln!(file, "{note}"));
            signal_hook::low_level::exit(i32::from(Exit::Temporary.code()));
        };
        Deadline { timeout: Duration::from_secs(self.collective_timeout), on_stuck: Arc::new(on_stuck) }
    }

    /// Starts the processes, and starts them again when one is lost.
    fn launch(&self, run: &Run, json: bool, shown: &Shown) -> anyhow::Result<u8> {
        let program = std::env::current_exe().context("cannot find this program's own file")?;
        let mut words = self.launch.as_deref().unwrap_or_default().split_whitespace().map(OsString::from);
        let (prefix, prefix_arguments) = (words.next(), words.collect::<Vec<_>>());
        if self.launch.is_some() && prefix.is_none() {
            bail!("--launch is empty; name a command that starts processes, such as `mpirun -n 2`");
        }
        let meeting_place = tempfile::tempdir().context("cannot make a folder for the ranks' socket")?;
        let start = |attempt: u32| {
            let resume = run.resume || attempt > 0 && has_checkpoint(&run.out);
            let arguments = self.arguments(run, resume, json, attempt);
            if let Some(prefix) = &prefix {
                let mut command = Command::new(prefix);
                command.args(&prefix_arguments).arg(&program).args(&arguments).env(LAUNCHED, "1");
                return Ok(vec![command]);
            }
            let socket = meeting_place.path().join(format!("attempt-{attempt}"));
            let of_rank = |rank: usize| {
                let mut command = Command::new(&program);
                command.args(&arguments).env(LAUNCHED, "1").env(SOCKET, &socket);
                command.env(RANK, rank.to_string()).env(WORLD, self.ranks.to_string());
                command
            };
            Ok((0..self.ranks).map(of_rank).collect())
        };
        let launch = Launch {
            max_restarts: self.max_restarts,
            final_codes: &[Exit::Usage.code(), Exit::Data.code(), Exit::Runtime.code()],
            given_up: Exit::Temporary.code(),
            must_stop: &|| shown.signal().is_some(),
            lost: &|attempt: &Attempt| shown.lost(attempt),
        };
        Ok(launch.run(&start)?)
    }

    /// The command line of the processes that are started.
    fn arguments(&self, run: &Run, resume: bool, json: bool, attempt: u32) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec!["run".into(), run.config.clone().into()];
        for set in &run.set {
            arguments.extend(["--set".into(), set.into()]);
        }
        arguments.extend(["--out".into(), run.out.clone().into()]);
        arguments.extend(["--collective-timeout".into(), self.collective_timeout.to_string().into()]);
        // under another launcher than ours the processes have to know themselves how they meet
        let comm = self.comm.filter(|comm| self.launch.is_some() || *comm == Comm::Nccl);
        if let Some(comm) = comm.and_then(|comm| comm.to_possible_value()) {
            arguments.extend(["--comm".into(), comm.get_name().into()]);
        }
        if let Some(path) = &self.rendezvous {
            // what a start that failed has left there is not met again
            arguments.extend(["--rendezvous".into(), format!("file:{}.{attempt}", path.display()).into()]);
        }
        arguments.extend(resume.then(|| "--resume".into()));
        arguments.extend(json.then(|| "--json".into()));
        arguments
    }
}

/// Trains as one rank of several with a GPU each.
fn over_nccl(
    run: &Run,
    place: [usize; 2],
    local_rank: usize,
    handover: Handover<'_>,
    deadline: &Deadline,
    shown: &Shown,
) -> anyhow::Result<Ended> {
    let run = Run { local_rank: Some(local_rank), ..run.clone() };
    let gpu = require_gpus(&run)?;
    let ranks = Nccl::join(place, gpu, handover, deadline).map_err(pretrain::Error::from)?;
    let outcome = run.as_rank(&ranks, deadline, shown)?;
    ranks.finish();
    Ok(Ended::Trained(outcome, place[0] == 0))
}

/// The number of this rank's GPU: where NCCL is asked for, the network must be on one, and the build must have both.
fn require_gpus(run: &Run) -> anyhow::Result<usize> {
    let device = Settings::load(&run.config, &run.set)?.settings.run.device;
    let refuse = |problem: String, hint: &str| {
        let error =
            pretrain::Error::Setting { key: "--comm nccl".to_owned(), problem, hint: hint.to_owned() };
        Err(error.into())
    };
    if !Nccl::IS_BUILT {
        let problem = "cannot be used: this program was built without NCCL".to_owned();
        return refuse(
            problem,
            "build with `--features cuda,nccl` (docs/gpus.md), or use processes, MPI or threads",
        );
    }
    match device.number(run.local_rank.unwrap_or(0)) {
        Some(gpu) => Ok(gpu),
        None => refuse(format!("needs a GPU for each rank, but the device is {device}"), "add --device cuda"),
    }
}

/// This process's number on its machine, which chooses its GPU; `rank` where nobody says.
fn local_rank(rank: usize) -> anyhow::Result<usize> {
    for name in LOCAL_RANKS {
        if let Some(local) = number(name)? {
            return Ok(local);
        }
    }
    Ok(rank)
}

fn number(name: &str) -> anyhow::Result<Option<usize>> {
    let Some(text) = std::env::var_os(name) else { return Ok(None) };
    let number = text.to_str().and_then(|text| text.parse().ok());
    number.map(Some).with_context(|| format!("{name} is {}, which is no number", text.display()))
}

fn has_checkpoint(out: &Path) -> bool {
    let newest = Checkpoints::look_at(&out.join("checkpoints")).newest();
    newest.is_ok_and(|newest| newest.checkpoint.is_some())
}

/// A launcher that is killed leaves no ranks behind: their standard input ends with it.
fn end_with_the_launcher() {
    std::thread::spawn(|| {
        let mut nothing = [0; 64];
        loop {
            match std::io::stdin().read(&mut nothing) {
                Ok(0) => break,
                Err(error) if error.kind() != std::io::ErrorKind::Interrupted => break,
                _ => {}
            }
        }
        signal_hook::low_level::exit(i32::from(Exit::Temporary.code()));
    });
}
