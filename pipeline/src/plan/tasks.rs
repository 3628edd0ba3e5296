//! Cutting rows into tasks and writing their recipes.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use data_specs::ShardSpec;

use super::{Plan, RowRecipe, Task};
use crate::Error;

/// Takes rows in their final order and closes a task when its shard is full.
pub(super) struct TaskWriter {
    folder: PathBuf,
    shard: ShardSpec,
    tasks: Vec<Task>,
    open: Option<OpenTask>,
}

struct OpenTask {
    task: Task,
    path: PathBuf,
    file: BufWriter<File>,
    hasher: blake3::Hasher,
}

impl TaskWriter {
    pub(super) fn new(plan_folder: &Path, shard: ShardSpec) -> TaskWriter {
        TaskWriter { folder: plan_folder.to_path_buf(), shard, tasks: Vec::new(), open: None }
    }

    /// Adds a row whose features take about `bytes`.
    pub(super) fn push(&mut self, recipe: &RowRecipe, bytes: u64) -> Result<(), Error> {
        let full = |task: &Task| {
            self.shard.rows.is_some_and(|rows| task.rows >= rows) || task.bytes + bytes > self.shard.bytes
        };
        if self.open.as_ref().is_some_and(|open| full(&open.task)) {
            self.close()?;
        }
        let open = match &mut self.open {
            Some(open) => open,
            None => {
                let path = Plan::recipes_path(&self.folder, self.tasks.len());
                let file = File::create(&path).map_err(Error::io("create", &path))?;
                let task = Task { rows: 0, texts: 0, bytes: 0, recipes: String::new() };
                let file = BufWriter::new(file);
                self.open.insert(OpenTask { task, path, file, hasher: blake3::Hasher::new() })
            }
        };
        let mut line = serde_json::to_vec(recipe).expect("a recipe has only plain fields");
        line.push(b'\n');
        open.hasher.update(&line);
        open.file.write_all(&line).map_err(Error::io("write", &open.path))?;
        open.task.rows += 1;
        open.task.texts += recipe.text_count();
        open.task.bytes += bytes;
        Ok(())
    }

    /// The tasks, all recipes being on the disk.
    pub(super) fn finish(mut self) -> Result<Vec<Task>, Error> {
        self.close()?;
        Ok(self.tasks)
    }

    fn close(&mut self) -> Result<(), Error> {
        if let Some(OpenTask { mut task, path, file, hasher }) = self.open.take() {
            let file = file.into_inner().map_err(|error| Error::io("write", &path)(error.into_error()))?;
            file.sync_all().map_err(Error::io("fsync", &path))?;
            task.recipes = hasher.finalize().to_hex().to_string();
            self.tasks.push(task);
        }
        Ok(())
    }
}
