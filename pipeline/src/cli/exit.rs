//! Exit codes, so that scripts and schedulers know what to do next.

use pipeline::Error;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done; for `verify`: everything holds.
    Done,
    /// A check failed: `verify` found damage, `explain` found nothing, `features-check` found a difference.
    CheckFailed,
    /// The command line, the spec or an input file as a whole cannot be used.
    Usage,
    /// The accounts do not balance: a defect of the program.
    Accounting,
    /// The data set is there, with more rejects than the spec allows.
    TooManyRejects,
    /// Some tasks failed; the same command repeats only these.
    TasksFailed,
    /// Out of space, or the folder is in use: the same command may succeed later.
    Temporary,
    /// Stopped by this signal; the same command continues.
    Interrupted(i32),
}

impl Exit {
    pub(crate) fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::CheckFailed => 1,
            Exit::Usage => 2,
            Exit::Accounting => 3,
            Exit::TooManyRejects => 4,
            Exit::TasksFailed => 5,
            Exit::Temporary => 75,
            Exit::Interrupted(signal) => 128 + u8::try_from(signal).unwrap_or(0),
        }
    }

    /// The exit that an error asks for.
    pub(crate) fn of(error: &anyhow::Error) -> Exit {
        match error.downcast_ref::<Error>() {
            Some(error) if error.is_temporary() => Exit::Temporary,
            Some(Error::Accounting { .. }) => Exit::Accounting,
            Some(Error::TasksFailed { .. }) => Exit::TasksFailed,
            Some(Error::Interrupted { signal }) => Exit::Interrupted(*signal),
            _ => Exit::Usage,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_the_documentation() {
        let disk_full = Error::Io {
            op: "write",
            path: "x".into(),
            source: std::io::Error::from(std::io::ErrorKind::StorageFull),
        };
        let denied = Error::Io {
            op: "write",
            path: "x".into(),
            source: std::io::Error::from(std::io::ErrorKind::PermissionDenied),
        };
        for (error, code) in [
            (disk_full, 75),
            (denied, 2),
            (Error::Accounting { what: String::new(), sums: String::new() }, 3),
            (Error::TasksFailed { failed: 1, tasks: 2, first: String::new() }, 5),
            (Error::Interrupted { signal: 2 }, 130),
            (Error::Interrupted { signal: 15 }, 143),
        ] {
            assert_eq!(Exit::of(&error.into()).code(), code);
        }
        assert_eq!(Exit::TooManyRejects.code(), 4);
    }
}
