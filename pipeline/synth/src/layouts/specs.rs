//! Specs beside the data: `pipeline build DIR/specs/captions-train.toml --out OUT`.

use std::path::Path;

use super::write_text;
use crate::Error;
use crate::corpus::names::folder;
use crate::corpus::{Pool, Split};

/// One spec.
struct Spec<'a> {
    name: String,
    about: &'a str,
    source: &'a str,
    split: &'a str,
    digits: bool,
    images: String,
    boxes: String,
    texts: String,
    /// Whether a detector learns from it: whole pictures and boxes, no vectors.
    detection: bool,
}

/// Writes a spec for every task and split; returns their names.
pub(crate) fn specs(root: &Path) -> Result<Vec<String>, Error> {
    let mut specs: Vec<Spec<'_>> = Vec::new();
    for split in Split::ALL {
        let (name, images) = (split.name(), folder(Pool::Coco, split));
        let instances = format!(
            "format = \"coco-instances\"\npath = \"../coco/annotations/instances_{name}2014.json\"\n"
        );
        specs.push(Spec {
            name: format!("captions-{name}"),
            about: "captions and boxes in COCO's layouts",
            source: "coco",
            split: name,
            digits: true,
            images: images.clone(),
            boxes: instances.clone(),
            texts: format!(
                "[texts.captions]\nformat = \"coco\"\npath = \"../coco/annotations/captions_{name}2014.json\"\n"
            ),
            detection: false,
        });
        specs.push(Spec {
            name: format!("vqa-{name}"),
            about: "questions with ten answers in VQA v2's layout, on COCO's pictures",
            source: "vqa",
            split: name,
            digits: true,
            images,
            boxes: instances,
            texts: format!(
                "[texts.questions]\nformat = \"vqa\"\n\
                 path = \"../vqa/v2_OpenEnded_mscoco_{name}2014_questions.json\"\n\
                 annotations = \"../vqa/v2_mscoco_{name}2014_annotations.json\"\n"
            ),
            detection: false,
        });
        let (name, images) = (split.of_gqa(), folder(Pool::Gqa, split));
        let questions = match split {
            Split::Train => "../gqa/train_all_questions".to_string(),
            _ => format!("../gqa/{name}_all_questions.json"),
        };
        specs.push(Spec {
            name: format!("gqa-{name}"),
            about: "all questions in GQA's layout, boxes and attributes of its scene graphs",
            source: "gqa",
            split: name,
            digits: false,
            images,
            boxes: format!("format = \"gqa-scene-graphs\"\npath = \"../gqa/{name}_sceneGraphs.json\"\n"),
            texts: format!("[texts.questions]\nformat = \"gqa\"\npath = \"{questions}\"\n"),
            detection: false,
        });
        specs.push(nlvr2(split, split.of_nlvr2(), split.of_nlvr2()));
    }
    specs.push(nlvr2(Split::Train, "plain-train", "train_plain"));
    specs.push(Spec {
        name: "nocaps-val".into(),
        about: "captions of pictures in and outside of the captions' domain; boxes in OpenImages' layout",
        source: "nocaps",
        split: "val",
        digits: true,
        images: folder(Pool::NoCaps, Split::Val),
        boxes: "format = \"open-images\"\npath = \"../open-images/validation-annotations-bbox.csv\"\n\
                classes = \"../open-images/class-descriptions-boxable.csv\"\n"
            .into(),
        texts: "[texts.captions]\nformat = \"coco\"\npath = \"../nocaps/nocaps_val_captions.json\"\n".into(),
        detection: false,
    });
    specs.push(Spec {
        name: "open-images-train".into(),
        about: "boxes without captions, where kinds outside of the captions' domain are learned",
        source: "oi",
        split: "train",
        digits: false,
        images: folder(Pool::OpenImages, Split::Train),
        boxes: "format = \"open-images\"\npath = \"../open-images/train-annotations-bbox.csv\"\n\
                classes = \"../open-images/class-descriptions-boxable.csv\"\n"
            .into(),
        texts: String::new(),
        detection: false,
    });
    specs.push(Spec {
        name: "visual-genome-train".into(),
        about: "objects and attributes in Visual Genome's layout, on GQA's training pictures",
        source: "vg",
        split: "train",
        digits: false,
        images: folder(Pool::Gqa, Split::Train),
        boxes: "format = \"visual-genome\"\npath = \"../vg/objects.json\"\nattributes = \"../vg/attributes.json\"\n"
            .into(),
        texts: String::new(),
        detection: false,
    });
    let detection = specs.iter().filter_map(Spec::for_detection).collect::<Vec<_>>();
    specs.extend(detection);
    for spec in &specs {
        write_text(&root.join(format!("specs/{}.toml", spec.name)), &spec.text())?;
    }
    Ok(specs.into_iter().map(|spec| spec.name).collect())
}

/// Statements of the file `data` about pairs of a split.
fn nlvr2(split: Split, name: &str, data: &str) -> Spec<'static> {
    let of_split = split.of_nlvr2();
    Spec {
        name: format!("nlvr2-{name}"),
        about: "statements about pairs in NLVR2's layout, boxes in OpenImages'",
        source: "nlvr2",
        split: of_split,
        digits: false,
        images: folder(Pool::Nlvr2, split),
        boxes: format!(
            "format = \"open-images\"\npath = \"../nlvr2/{of_split}-annotations-bbox.csv\"\n\
             classes = \"../open-images/class-descriptions-boxable.csv\"\n"
        ),
        texts: format!("[texts.statements]\nformat = \"nlvr2\"\npath = \"../nlvr2/data/{data}.json\"\n"),
        detection: false,
    }
}

impl<'a> Spec<'a> {
    /// The spec of the same pictures for a detector, of one task each that has its boxes in a layout of their own.
    fn for_detection(&self) -> Option<Spec<'a>> {
        let (task, rest) = self.name.rsplit_once('-')?;
        let about = match task {
            "captions" => "whole pictures with boxes in COCO's layout, for a detector",
            "gqa" => "whole pictures with boxes and attributes of GQA's scene graphs, for a detector",
            "open-images" => "whole pictures with boxes in OpenImages' layout, for a detector",
            "visual-genome" => {
                "whole pictures with objects and attributes in Visual Genome's layout, for a detector"
            }
            _ => return None,
        };
        let task = if task == "captions" { "coco" } else { task };
        Some(Spec {
            name: format!("detection-{task}-{rest}"),
            about,
            source: self.source,
            split: self.split,
            digits: self.digits,
            images: self.images.clone(),
            boxes: self.boxes.clone(),
            texts: String::new(),
            detection: true,
        })
    }

    fn text(&self) -> String {
        let Spec { name, about, source, split, digits, images, boxes, texts, detection } = self;
        let ids = if *digits { "ids = \"trailing-digits\"\n" } else { "" };
        if *detection {
            return format!(
                "# Drawn corpus: {about}.\n\
                 #\n\
                 #   pipeline build specs/{name}.toml --out OUT\n\
                 name = \"synth-{name}\"\n\
                 source = \"{source}\"\n\
                 split = \"{split}\"\n\
                 {ids}\n\
                 [images]\n\
                 format = \"folder\"\n\
                 path = \"../{images}\"\n\
                 keep = \"full\"\n\n\
                 [boxes]\n{boxes}\n\
                 [regions]\n\
                 provider = \"none\"\n"
            );
        }
        format!(
            "# Drawn corpus: {about}.\n\
             #\n\
             #   pipeline build specs/{name}.toml --out OUT\n\
             #\n\
             # The backbone has random weights, so that this builds without a download; --set weights=FILE replaces\n\
             # them, --set backbone=NAME the network.\n\
             name = \"synth-{name}\"\n\
             source = \"{source}\"\n\
             split = \"{split}\"\n\
             {ids}without_text = \"keep\"\n\n\
             [images]\n\
             format = \"folder\"\n\
             path = \"../{images}\"\n\n\
             [boxes]\n{boxes}\n\
             [regions]\n\
             provider = \"crops\"\n\
             backbone = \"efficientnet_b0\"\n\
             random_weights = 0\n\
             # as the crops that a backbone learns from\n\
             crop_side = 64\n\n\
             {texts}\n\
             [set]\n\
             backbone = \"regions.backbone\"\n\
             weights = \"regions.weights\"\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specs_load_and_lead_to_files_of_the_corpus() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("specs")).unwrap();
        let names = specs(folder.path()).unwrap();
        assert_eq!(names.len(), 24);
        for name in names {
            let path = folder.path().join(format!("specs/{name}.toml"));
            let spec = data_specs::CorpusSpec::load(&path, &[]).unwrap();
            let images = spec.images.unwrap().path.unwrap();
            assert!(images.starts_with(folder.path()), "{}", images.display());
        }
    }
}
