//! Learning from the first rows of an import what all its rows have in common.

use std::path::{Path, PathBuf};

use super::block::RegionBlock;
use super::geometry::{Fit, NUMBERS};
use super::rows::broken;
use super::{FeatureLayout, GeometryOrder};
use crate::reject::{Code, RejectReason};
use crate::{Error, inputs::InputFile, inputs::Span};

/// Rows with fitting numbers but no recognisable position order, after which an import is given up.
const MISFITS: u32 = 16;

/// How a format reads the feature block out of a line.
pub(super) type ReadBlock = fn(&[u8]) -> Result<RegionBlock, RejectReason>;

/// The search for a layout: rows are offered until one settles it, so few are ever read.
#[derive(Debug)]
pub(super) struct LayoutSearch {
    with_positions: bool,
    settled: Option<FeatureLayout>,
    /// Width is known, but all regions so far are as wide as they are high.
    square: Option<FeatureLayout>,
    rows: u64,
    misfits: u32,
    /// The first row that did not help, and why.
    refused: Option<(PathBuf, u64, RejectReason)>,
}

impl LayoutSearch {
    /// A search in vectors of which the last six numbers are positions, or which have none.
    pub(super) fn new(with_positions: bool) -> LayoutSearch {
        LayoutSearch { with_positions, settled: None, square: None, rows: 0, misfits: 0, refused: None }
    }

    /// Takes a line that the scan has found; reads it only while the layout is open.
    pub(super) fn offer_line(&mut self, path: &Path, span: Span, read: ReadBlock) -> Result<(), Error> {
        self.offer(path, span.line, || Ok(read(&InputFile::open(path)?.read(span)?)))
    }

    /// Takes a picture's block; asks for it only while the layout is open.
    pub(super) fn offer(
        &mut self,
        path: &Path,
        line: u64,
        block: impl FnOnce() -> Result<Result<RegionBlock, RejectReason>, Error>,
    ) -> Result<(), Error> {
        self.rows += 1;
        if self.settled.is_some() {
            return Ok(());
        }
        let Err(reason) = block()?.and_then(|block| self.look_at(&block)) else { return Ok(()) };
        self.misfits += u32::from(reason.code == Code::BoxOrder);
        let (first_path, first_line, _) =
            self.refused.get_or_insert_with(|| (path.to_path_buf(), line, reason));
        if self.misfits < MISFITS {
            return Ok(());
        }
        Err(no_order(first_path, *first_line))
    }

    /// The layout; `path` is named if there was nothing to learn from.
    pub(super) fn finish(self, path: &Path) -> Result<FeatureLayout, Error> {
        if let Some(layout) = self.settled.or(self.square) {
            return Ok(layout);
        }
        match self.refused {
            None => Err(broken(path, None, "holds no picture", "check that this is the right file")),
            Some((path, line, reason)) if reason.code == Code::BoxOrder => Err(no_order(&path, line)),
            Some((path, line, reason)) => Err(broken(
                &path,
                (line > 0).then_some(line),
                format!("none of its {} pictures can be read; the first: {}", self.rows, reason.message),
                "check that this is a file of the format that the spec names",
            )),
        }
    }

    fn look_at(&mut self, block: &RegionBlock) -> Result<(), RejectReason> {
        let columns = block.columns()?;
        block.check(columns)?;
        if !self.with_positions {
            self.settled = Some(FeatureLayout::imported(columns, None));
            return Ok(());
        }
        if columns <= NUMBERS {
            let message = format!("a region has {columns} numbers, too few for a vector and six positions");
            return Err(RejectReason::new(Code::WrongWidth, message));
        }
        let layout = |order| FeatureLayout::imported(columns - NUMBERS, Some(order));
        let fit = Fit::of(block, columns);
        match (fit.width_height, fit.height_width) {
            (true, true) => {
                // Until a region tells, either order reads the same.
                self.square.get_or_insert(layout(GeometryOrder::WidthHeight));
            }
            (true, false) => self.settled = Some(layout(GeometryOrder::WidthHeight)),
            (false, true) => self.settled = Some(layout(GeometryOrder::HeightWidth)),
            (false, false) => {
                return Err(RejectReason::new(Code::BoxOrder, "no order of the positions fits"));
            }
        }
        Ok(())
    }
}

fn no_order(path: &Path, line: u64) -> Error {
    broken(
        path,
        (line > 0).then_some(line),
        "the last six numbers of a region are not its position: x1/W, y1/H, x2/W, y2/H and then w/W, h/H or \
         h/H, w/W; the last two match the differences of the corners in neither order",
        "some exporters write other numbers there (vinvl-visualbackbone as published does), and plain features \
         have none; compute them anew from the boxes, or import features and boxes as bottomup-tsv or lxmert-tsv",
    )
}
