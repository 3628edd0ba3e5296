//! Oscar's retrieval captions, `{split}_captions.pt`: a torch dictionary of picture id to list of captions.
//!
//! `{391895: ["A man with ...", ...], ...}`, or with a JSON string of that list in the place of each list.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use data_specs::TextKind;
use data_specs::durable::PendingFile;
use serde_json::{Map, Value, json};
use torch_files::TorchFile;

use crate::inputs::{Input, ScanContext, Span};
use crate::texts::record::{self, Fields, is_not, kind, plain_text, text_of};
use crate::texts::scan::{self, Head, Place, Refusal};
use crate::texts::{ParsedTexts, Part, RejectedText, ScannedText, TextFormat};
use crate::{Error, RejectReason};

/// `train_captions.pt` and the like.
///
/// A pickle cannot be read by byte range, so the scan writes each entry as one JSON line,
/// `{"image_id": "391895", "captions": [...]}`, to a derived file, the second input. One record an entry, its
/// id that of the picture; caption k of it (from 0, as Oscar's index files count) has the id `391895#k`. A bad
/// caption does not take its neighbours along. The dictionary is in memory while it is written out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TorchCaptions {
    /// The `.pt`.
    pub file: PathBuf,
}

impl TextFormat for TorchCaptions {
    fn scan(
        &self,
        context: ScanContext<'_>,
        found: &mut dyn FnMut(ScannedText) -> Result<(), Error>,
    ) -> Result<Vec<Input>, Error> {
        let original = scan::whole(context, 0, &self.file)?;
        let opened = TorchFile::open(&self.file).map_err(|error| self.error(error))?;
        // The index of the input keeps the files of two sections apart.
        let lines = context.derived.join(format!("captions-{}.jsonl", context.first_input));
        let write_error = |source| Error::Io { op: "write", path: lines.clone(), source };
        let mut writer = BufWriter::new(PendingFile::create(&lines, "captions")?);
        for (key, captions) in self.entries(opened.root())? {
            match entry(key, captions) {
                Ok(line) => writeln!(writer, "{line}").map_err(write_error)?,
                Err(Refusal { key, reason }) => {
                    let span = Span { input: context.first_input, offset: 0, len: 0, line: 0 };
                    let place = Place { source: context.source, path: &self.file, span, by_line: true };
                    found(place.reject(key, reason))?;
                }
            }
        }
        let file = writer.into_inner().map_err(|error| write_error(error.into_error()))?;
        file.commit(&|_| {})?;
        let derived = scan::lines(context, 1, &lines, |line, place| found(place.told(head(line.bytes))))?;
        Ok(vec![original, derived])
    }

    fn parse(&self, parts: &[Part]) -> Result<ParsedTexts, RejectReason> {
        let [part] = parts else { return Err(scan::wrong_parts("one", parts.len())) };
        let mut fields = Fields::parse(&part.bytes)?;
        let image = fields.id("image_id")?;
        let mut parsed = ParsedTexts::default();
        for (at, caption) in fields.list("captions")?.into_iter().enumerate() {
            let id = format!("{image}#{at}");
            let text = match caption {
                Value::String(text) => text_of(text, "caption"),
                other => Err(is_not("caption", "a string", kind(&other))),
            };
            match text {
                Ok(text) => parsed.texts.push(plain_text(TextKind::Caption, id, text, Map::new())),
                Err(reason) => parsed.rejected.push(RejectedText { id, reason }),
            }
        }
        Ok(parsed)
    }
}

impl TorchCaptions {
    fn entries<'a>(
        &self,
        root: &'a torch_files::Value,
    ) -> Result<&'a [(torch_files::Value, torch_files::Value)], Error> {
        root.as_dict().map(|dict| dict.entries.as_slice()).ok_or_else(|| {
            input_error(&self.file, "holds no dictionary of picture ids and captions".to_string())
        })
    }

    fn error(&self, error: torch_files::Error) -> Error {
        match error {
            torch_files::Error::Io { source, .. } => {
                Error::Io { op: "read", path: self.file.clone(), source }
            }
            // It begins with the file, which ours does too.
            other => {
                let (message, file) = (other.to_string(), format!("{}: ", self.file.display()));
                input_error(&self.file, message.strip_prefix(&file).unwrap_or(&message).to_string())
            }
        }
    }
}

/// One entry of the dictionary as a line of JSON; what is no text in its list becomes null there.
fn entry(key: &torch_files::Value, captions: &torch_files::Value) -> Result<Value, Refusal> {
    let image = match (key.as_int(), key.as_str()) {
        (Some(number), _) => number.to_string(),
        (_, Some(id)) if !id.trim().is_empty() => id.to_string(),
        (_, Some(_)) => return Err(record::empty("picture id").into()),
        (None, None) => {
            return Err(is_not("picture id", "a whole number or a string", "something else").into());
        }
    };
    let captions = match (captions.as_items(), captions.as_str()) {
        (Some(items), _) => {
            let items = items.iter().map(|item| item.as_str().map_or(Value::Null, Value::from));
            Ok(Value::Array(items.collect()))
        }
        (_, Some(json)) => match serde_json::from_str(json) {
            Ok(Value::Array(list)) => Ok(Value::Array(list)),
            Ok(other) => Err(is_not("captions", "a list", kind(&other))),
            Err(error) => Err(record::bad_json(error)),
        },
        (None, None) => Err(is_not("captions", "a list, or one in a JSON string", "something else")),
    };
    let captions = captions.map_err(Refusal::of(image.clone()))?;
    Ok(json!({"image_id": image, "captions": captions}))
}

fn head(line: &[u8]) -> Result<Head, Refusal> {
    let ids = record::ids(line, ["image_id", "captions"])?;
    let head = || {
        let image = ids.need("image_id")?;
        Ok(Head { images: vec![image.clone()], id: image, split: None, texts: ids.length("captions")? })
    };
    head().map_err(Refusal::of(ids.shown("image_id")))
}

fn input_error(file: &Path, what: String) -> Error {
    let hint = "is it a captions.pt of Oscar's retrieval data?".into();
    Error::Input { path: file.to_path_buf(), line: None, what, hint }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::Code;
    use crate::texts::trial::{Folder, run};

    fn golden(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../data-specs/torch-files/tests/golden").join(name)
    }

    #[test]
    fn entries_become_lines_and_lines_texts() {
        for name in ["captions_zip.pt", "captions_legacy.pt"] {
            let trial = run(&TorchCaptions { file: golden(name) }).unwrap();
            assert_eq!(trial.images(), ["391895", "522418"]);
            let texts = trial.texts();
            assert_eq!(texts.len(), 10);
            assert_eq!((texts[0].id.as_str(), texts[0].text.as_str()), ("391895#0", "a man rides"));
            assert_eq!((texts[9].id.as_str(), texts[9].text.as_str()), ("522418#4", "j"));
            let (record, _) = &trial.records[1];
            assert_eq!((record.id.as_str(), record.texts, record.spans[0].input), ("522418", 5, 6));
            assert_eq!(trial.inputs[0].path, golden(name));
            assert!(trial.inputs[1].path.ends_with("captions-5.jsonl"));
        }
    }

    #[test]
    fn lists_may_be_json_and_bad_entries_are_told() {
        use torch_files::Value as Torch;
        let text = |text: &str| Torch::Str(Arc::from(text));
        let line = |key: Torch, captions: Torch| {
            let line = entry(&key, &captions).map(|line| line.to_string());
            line.map_err(|refusal| format!("{} {:?}", refusal.key, refusal.reason.code))
        };
        let list = Torch::List(Arc::from([text("a \"b\"\n"), Torch::Int(3)]));
        let expected = Ok(r#"{"image_id":"7","captions":["a \"b\"\n",null]}"#.to_string());
        assert_eq!(line(Torch::Int(7), list.clone()), expected);
        assert_eq!(line(text("7"), text(r#"["a \"b\"\n", null]"#)), expected);
        assert_eq!(line(Torch::Int(7), text("[")), Err("7 BadJson".into()));
        assert_eq!(line(Torch::Int(7), text("{}")), Err("7 BadJson".into()));
        assert_eq!(line(Torch::Int(7), Torch::None), Err("7 BadJson".into()));
        assert_eq!(line(Torch::Float(7.0), list.clone()), Err(" BadJson".into()));
        assert_eq!(line(text(" "), list), Err(" EmptyField".into()));
    }

    #[test]
    fn a_bad_caption_leaves_the_others() {
        let bytes = br#"{"image_id":"7","captions":["a\n",null," ",4]}"#.to_vec();
        let span = Span { input: 0, offset: 0, len: bytes.len() as u32, line: 1 };
        let captions = TorchCaptions { file: PathBuf::new() };
        let parsed = captions.parse(&[Part { span, bytes: bytes.clone() }]).unwrap();
        assert_eq!((parsed.texts.len(), parsed.texts[0].text.as_str()), (1, "a"));
        let rejected: Vec<_> =
            parsed.rejected.iter().map(|text| (text.id.as_str(), text.reason.code)).collect();
        assert_eq!(rejected, [("7#1", Code::BadJson), ("7#2", Code::EmptyField), ("7#3", Code::BadJson)]);
        assert_eq!(head(&bytes).unwrap().texts, 4);
    }

    #[test]
    fn other_files_are_errors() {
        let folder = Folder::new();
        for file in
            [golden("df_2.pkl"), folder.file("empty.pt", ""), golden("generate.py"), folder.file("a", "PK")]
        {
            let refused = run(&TorchCaptions { file: file.clone() }).map(|_| ());
            assert!(matches!(&refused, Err(Error::Input { path, .. }) if *path == file), "{refused:?}");
        }
        let labels = run(&TorchCaptions { file: golden("features_zip.pt") }).unwrap();
        assert!(labels.records.is_empty() && !labels.rejects.is_empty(), "tensors are no captions");
        assert!(matches!(run(&TorchCaptions { file: "none.pt".into() }).map(|_| ()), Err(Error::Io { .. })));
    }

    #[test]
    fn mutants_are_refused_or_read() {
        let folder = Folder::new();
        let good = std::fs::read(golden("captions_legacy.pt")).unwrap();
        let (mut whole, mut refused) = (0, 0);
        for number in 0..1000usize {
            let mut bytes = good.clone();
            let at = number * 7919 % bytes.len();
            bytes[at] = bytes[at].wrapping_add(1 + (number % 255) as u8);
            match run(&TorchCaptions { file: folder.file("captions.pt", &bytes) }) {
                Ok(trial) => whole += usize::from(trial.records.len() + trial.rejects.len() <= 2),
                Err(Error::Input { .. }) => refused += 1,
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(whole + refused, 1000, "{whole} read, {refused} refused");
    }
}
