//! The README of a corpus: what each file is.

use std::path::Path;

use super::write_text;
use crate::Error;
use crate::corpus::CorpusOptions;
use crate::world::{Domain, World};

pub(crate) fn readme(world: &World, options: CorpusOptions, root: &Path) -> Result<(), Error> {
    let CorpusOptions { images, seed } = options;
    let names = |domain: Domain| -> String {
        let names: Vec<&str> =
            world.kinds_of(domain).into_iter().map(|kind| world.kinds[kind].name.as_str()).collect();
        names.join(", ")
    };
    let (inner, outer) = (names(Domain::In), names(Domain::Out));
    let text = format!(
        "# A drawn corpus\n\n\
         `pipeline synth --images {images} --seed {seed}`: the same command writes the same bytes.\n\n\
         Kinds in the captions: {inner}.\n\
         Kinds that no training caption names: {outer}.\n\n\
         | files | layout |\n|---|---|\n\
         | coco/train2014, val2014, test2014 | pictures; their boxes are what is to be seen of each object |\n\
         | coco/annotations/captions_*2014.json | COCO: five captions a picture |\n\
         | coco/annotations/instances_*2014.json | COCO: boxes and exact masks (run lengths) |\n\
         | vqa/v2_*.json | VQA v2: questions about COCO's pictures, ten answers each |\n\
         | gqa/images, *_sceneGraphs.json | GQA: pictures of all kinds, with objects, attributes, relations |\n\
         | gqa/train_all_questions, *_all_questions.json, *_balanced_questions.json | GQA: questions with programs, \
         groups, entailed and equivalent ones |\n\
         | gqa/*_choices.json | for each question the valid and the plausible answers |\n\
         | vg/objects.json, attributes.json | Visual Genome: the training pictures of gqa/images |\n\
         | nlvr2/images, nlvr2/data | NLVR2: each statement is true of two pairs of its set and false of two |\n\
         | nlvr2/data/train_plain.json | plain statements about the same training pairs, to begin with |\n\
         | nlvr2/*-annotations-bbox.csv | boxes of these pictures, as OpenImages has them |\n\
         | open-images/train, *-annotations-bbox.csv | OpenImages: pictures with boxes and without captions; the \
         validation boxes are of nocaps/val |\n\
         | open-images/class-descriptions-boxable.csv, bbox_labels_hierarchy.json | class names, classes below \
         classes |\n\
         | nocaps/val, nocaps_val_captions.json | NoCaps: pictures in, near and out of the captions' domain |\n\
         | crops/train/KIND, crops/val/KIND | single objects, cut from pictures of the same split |\n\
         | looks/train/COLOUR_KIND, looks/val/COLOUR_KIND | the same ones by colour and kind, for a backbone whose \
         vectors are to hold colours |\n\
         | specs/*.toml | `pipeline build specs/NAME.toml --out OUT` |\n\n\
         No picture is in two splits, nor in two of coco, gqa, nlvr2, open-images and nocaps. Questions are \
         balanced by their words: of each wording there are as many with every answer in every split. What is \
         true, the scene says; what a careful person would leave open is not asked.\n\n\
         ## Baselines\n\n\
         Not measured yet: `pipeline synth-baselines .` puts the table here.\n"
    );
    write_text(&root.join("README.md"), &text)
}
