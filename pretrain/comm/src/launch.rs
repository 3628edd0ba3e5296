//! Ranks as processes: started together, and all started again when one is lost.

use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// A group of processes that is kept alive.
///
/// What one of them ends with says what comes next. 0: done, when all say so. A code of `final_codes`: a reason that stays,
/// so the others are ended, and that is the end. Anything else, a signal among them: lost, so the others are ended and all
/// start again, `max_restarts` times. The processes' standard input is a pipe that nothing is written to: it ends when
/// this process does, however that happens.
pub struct Launch<'a> {
    /// How often all are started again.
    pub max_restarts: u32,
    /// Codes of errors that would only come again.
    pub final_codes: &'a [u8],
    /// The code when it was started again too often.
    pub given_up: u8,
    /// Whether to end: then each process gets one SIGTERM, and is waited for.
    pub must_stop: &'a dyn Fn() -> bool,
    /// Told that all start again, and why.
    pub lost: &'a dyn Fn(&Attempt),
}

/// A start that did not succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// Its number, from 0.
    pub number: u32,
    /// The process that was lost first.
    pub process: usize,
    /// How it ended.
    pub status: ExitStatus,
    /// Whether all start again.
    pub is_repeated: bool,
}

/// How long processes have to end by themselves after one has ended: the reason may be another one's.
const GRACE: Duration = Duration::from_secs(3);
/// Between looks at the processes.
const PAUSE: Duration = Duration::from_millis(20);
/// Before a start that follows a failure.
const BREATH: Duration = Duration::from_millis(500);

impl Launch<'_> {
    /// Runs what `start` gives for each attempt, from 0; the code to end with.
    ///
    /// # Errors
    /// A process cannot be started or waited for.
    pub fn run(&self, start: &dyn Fn(u32) -> io::Result<Vec<Command>>) -> io::Result<u8> {
        for number in 0.. {
            let mut group = Group::start(start(number)?)?;
            let first = group.wait(self.must_stop)?;
            let ends = group.ends();
            let code = |status: &ExitStatus| status.code().and_then(|code| u8::try_from(code).ok());
            if let Some(reason) = ends.iter().filter_map(code).find(|code| self.final_codes.contains(code)) {
                return Ok(reason);
            }
            let Some((process, status)) = first else { return Ok(0) };
            if group.was_stopped {
                let by_signal = status.signal().and_then(|signal| u8::try_from(128 + signal).ok());
                return Ok(code(&status).or(by_signal).unwrap_or(self.given_up));
            }
            let is_repeated = number < self.max_restarts;
            (self.lost)(&Attempt { number, process, status, is_repeated });
            if !is_repeated {
                break;
            }
            std::thread::sleep(BREATH);
        }
        Ok(self.given_up)
    }
}

/// Dropped, it leaves no process behind.
struct Group {
    members: Vec<(Child, Option<ExitStatus>)>,
    was_stopped: bool,
}

impl Group {
    /// Each in a process group of its own: a Ctrl-C at the terminal reaches this process only, which passes it on once.
    fn start(commands: Vec<Command>) -> io::Result<Self> {
        let mut group = Self { members: Vec::new(), was_stopped: false };
        for mut command in commands {
            let child = command.process_group(0).stdin(Stdio::piped()).spawn().map_err(|error| {
                let program = command.get_program().to_string_lossy().into_owned();
                io::Error::new(error.kind(), format!("{program}: {error}"))
            })?;
            group.members.push((child, None));
        }
        Ok(group)
    }

    /// Waits until all have ended; the first that did not end well.
    fn wait(&mut self, must_stop: &dyn Fn() -> bool) -> io::Result<Option<(usize, ExitStatus)>> {
        let mut first: Option<(usize, ExitStatus, Instant)> = None;
        loop {
            for (number, (child, end)) in self.members.iter_mut().enumerate().filter(|(_, it)| it.1.is_none())
            {
                *end = child.try_wait()?;
                if let Some(status) = end.filter(|status| !status.success() && first.is_none()) {
                    first = Some((number, status, Instant::now()));
                }
            }
            if self.members.iter().all(|(_, end)| end.is_some()) {
                return Ok(first.map(|(number, status, _)| (number, status)));
            }
            if !self.was_stopped && must_stop() {
                self.was_stopped = true;
                for child in self.running() {
                    // one that has just ended is no fault
                    let _ = kill_process(Pid::from_child(child), Signal::TERM);
                }
            }
            // those that were asked to stop may still write their checkpoint
            if first.is_some_and(|(_, _, when)| when.elapsed() > GRACE) && !self.was_stopped {
                self.kill();
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn ends(&self) -> Vec<ExitStatus> {
        self.members.iter().filter_map(|(_, end)| *end).collect()
    }

    fn running(&self) -> impl Iterator<Item = &Child> {
        self.members.iter().filter(|(_, end)| end.is_none()).map(|(child, _)| child)
    }

    /// A process that is stopped ends, too; one that has just ended is no fault.
    fn kill(&self) {
        for child in self.running() {
            let _ = kill_process_group(Pid::from_child(child), Signal::KILL);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
        for (child, _) in self.members.iter_mut().filter(|(_, end)| end.is_none()) {
            drop(child.wait());
        }
    }
}

impl std::fmt::Display for Attempt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { number, process, status, is_repeated } = self;
        let next = if *is_repeated {
            format!("all start again from the last checkpoint (restart {})", number + 1)
        } else {
            "it was started again as often as allowed".to_owned()
        };
        write!(f, "process {process} was lost ({status}); {next}")
    }
}

impl std::fmt::Debug for Launch<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Launch").field("max_restarts", &self.max_restarts).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// What `script` makes of attempts: the code, and how often it was started.
    fn launch(
        max_restarts: u32,
        script: impl Fn(u32) -> Vec<String>,
        must_stop: &dyn Fn() -> bool,
    ) -> (u8, Vec<Attempt>) {
        let lost = RefCell::new(Vec::new());
        let launch = Launch {
            max_restarts,
            final_codes: &[2, 3, 4],
            given_up: 75,
            must_stop,
            lost: &|attempt| lost.borrow_mut().push(*attempt),
        };
        let shell = |script: String| {
            let mut command = Command::new("sh");
            command.args(["-c", &script]);
            command
        };
        let code = launch.run(&|number| Ok(script(number).into_iter().map(shell).collect())).unwrap();
        (code, lost.into_inner())
    }

    #[test]
    fn the_lost_are_started_again_and_the_stopped_are_ended() {
        let start = Instant::now();
        let (code, lost) = launch(
            3,
            |attempt| match attempt {
                // one dies, one stops itself for ever
                0 => vec!["kill -KILL $$".into(), "kill -STOP $$".into()],
                1 => vec!["exit 75".into(), "sleep 600".into()],
                _ => vec!["exit 0".into(), "exit 0".into()],
            },
            &|| false,
        );
        assert_eq!((code, lost.len()), (0, 2));
        assert_eq!((lost[0].process, lost[0].status.signal()), (0, Some(9)));
        assert_eq!((lost[1].process, lost[1].status.code()), (0, Some(75)));
        assert!(start.elapsed() < 2 * GRACE + Duration::from_secs(5), "{:?}", start.elapsed());
        assert!(lost[0].to_string().contains("process 0 was lost (signal: 9"), "{}", lost[0]);
    }

    #[test]
    fn a_reason_that_stays_ends_it_whoever_says_it() {
        // the other one notices first
        let (code, lost) = launch(3, |_| vec!["exit 75".into(), "sleep 0.3; exit 3".into()], &|| false);
        assert_eq!((code, lost.len()), (3, 0));
        let (code, lost) = launch(1, |_| vec!["exit 134".into()], &|| false);
        assert_eq!((code, lost.len()), (75, 2));
        assert_eq!((lost[0].is_repeated, lost[1].is_repeated), (true, false));
    }

    #[test]
    fn asked_to_stop_all_end_and_none_starts_again() {
        let start = Instant::now();
        let traps = "trap 'exit 143' TERM; while true; do sleep 0.05; done";
        let asked = || start.elapsed() > Duration::from_millis(300);
        let (code, lost) = launch(3, |_| vec![traps.into(), traps.into()], &asked);
        assert_eq!((code, lost.len()), (143, 0));
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let launch =
            Launch { max_restarts: 3, final_codes: &[], given_up: 75, must_stop: &|| false, lost: &|_| () };
        let error = launch.run(&|_| Ok(vec![Command::new("no-such-program")])).unwrap_err();
        assert!(error.to_string().starts_with("no-such-program: "), "{error}");
    }
}
