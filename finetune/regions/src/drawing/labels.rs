//! Where labels go: at their box, inside the picture, on no other label.

use tiny_skia::{Color, LineCap, Paint, PathBuilder, Pixmap, Rect, Stroke, Transform};

use super::text::Font;

/// A label in its place.
pub(super) struct Label<'a> {
    pub(super) text: std::borrow::Cow<'a, str>,
    pub(super) rect: Rect,
    pub(super) colour: Color,
    /// The box it belongs to.
    owner: Rect,
}

/// Places labels one after the other: at the box where that covers no label, else at the nearest free place, else where it
/// covers least. Among the places at the box, the one that hides least of small boxes.
pub(super) fn place<'a>(
    wanted: &[(Rect, &'a str, Color)],
    font: &Font,
    width: f32,
    height: f32,
) -> Vec<Label<'a>> {
    let mut placed: Vec<Label<'a>> = Vec::new();
    for &(owner, text, colour) in wanted {
        if text.trim().is_empty() {
            continue;
        }
        let text = font.fitting(text.trim(), width);
        let label_width = (font.width(&text) + 2.0 * font.padding()).min(width);
        let label_height = font.line().min(height);
        let at = |&(x, y): &(f32, f32)| {
            let (x, y) =
                (x.clamp(0.0, width - label_width).floor(), y.clamp(0.0, height - label_height).floor());
            Rect::from_xywh(x, y, label_width, label_height)
        };
        let small = 4.0 * label_width * label_height;
        let boxes = wanted.iter().map(|(rect, _, _)| rect);
        let small_boxes: Vec<&Rect> = boxes.filter(|rect| rect.width() * rect.height() < small).collect();
        let covered = |rect: &Rect| -> f32 { placed.iter().map(|label| shared(rect, &label.rect)).sum() };
        let hidden = |rect: &Rect| -> f32 { small_boxes.iter().map(|one| shared(rect, one)).sum() };

        let near: Vec<Rect> = places_at(&owner, label_width, label_height).iter().filter_map(at).collect();
        // Of equal ones `min_by` takes the first.
        let free = near.iter().filter(|rect| covered(rect) == 0.0).copied();
        let place = free.min_by(|a, b| hidden(a).total_cmp(&hidden(b))).or_else(|| {
            let anywhere = grid(width, height, label_width, label_height).filter_map(|place| at(&place));
            let cost = |rect: &Rect| (covered(rect), distance(rect, &owner) + hidden(rect) / label_height);
            let costs = near.iter().copied().chain(anywhere).map(|rect| (rect, cost(&rect)));
            let cheapest = costs.min_by(|(_, a), (_, b)| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
            cheapest.map(|(rect, _)| rect)
        });
        if let Some(rect) = place {
            placed.push(Label { text, rect, colour, owner });
        }
    }
    placed
}

/// Corners at a box, the best first: above or just inside its upper edge, then at its lower one.
fn places_at(owner: &Rect, label_width: f32, label_height: f32) -> [(f32, f32); 8] {
    let (left, right) = (owner.left(), owner.right() - label_width);
    let (above, top) = (owner.top() - label_height, owner.top());
    let (below, bottom) = (owner.bottom(), owner.bottom() - label_height);
    [
        (left, above),
        (left, top),
        (right, above),
        (right, top),
        (left, below),
        (left, bottom),
        (right, below),
        (right, bottom),
    ]
}

/// A line from a label to its box, where they do not touch.
pub(super) fn leader(canvas: &mut Pixmap, label: &Label<'_>, line: f32) {
    if distance(&label.rect, &label.owner) <= 2.0 {
        return;
    }
    let middle = |low: f32, high: f32| (low + high) / 2.0;
    let from = (middle(label.rect.left(), label.rect.right()), middle(label.rect.top(), label.rect.bottom()));
    let to = (
        from.0.clamp(label.owner.left(), label.owner.right()),
        from.1.clamp(label.owner.top(), label.owner.bottom()),
    );
    let mut path = PathBuilder::new();
    path.move_to(from.0, from.1);
    path.line_to(to.0, to.1);
    let Some(path) = path.finish() else { return };
    let mut paint = Paint::default();
    paint.set_color(label.colour);
    let stroke = Stroke { width: line, line_cap: LineCap::Round, ..Stroke::default() };
    canvas.stroke_path(&path, &paint, &stroke, Transform::identity(), None);
}

/// Places all over the picture.
fn grid(width: f32, height: f32, label_width: f32, label_height: f32) -> impl Iterator<Item = (f32, f32)> {
    let step_x = (label_width / 3.0).max(4.0);
    let rows = (height / label_height).ceil() as usize;
    let columns = (width / step_x).ceil() as usize;
    (0..rows).flat_map(move |row| {
        (0..columns).map(move |column| (column as f32 * step_x, row as f32 * label_height))
    })
}

/// The area that two rectangles share.
fn shared(a: &Rect, b: &Rect) -> f32 {
    let width = a.right().min(b.right()) - a.left().max(b.left());
    let height = a.bottom().min(b.bottom()) - a.top().max(b.top());
    width.max(0.0) * height.max(0.0)
}

/// How far two rectangles are apart: 0 where they touch.
fn distance(a: &Rect, b: &Rect) -> f32 {
    let x = (a.left() - b.right()).max(b.left() - a.right()).max(0.0);
    let y = (a.top() - b.bottom()).max(b.top() - a.bottom()).max(0.0);
    x.hypot(y)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inside_and_apart() {
        let font = Font::new(14.0);
        let owners: Vec<Rect> = (0..40)
            .map(|n| {
                let (x, y) = ((n * 37 % 600) as f32, (n * 53 % 440) as f32);
                Rect::from_xywh(x, y, 30.0 + n as f32, 20.0 + (n % 7) as f32).unwrap()
            })
            .collect();
        let wanted: Vec<_> =
            owners.iter().map(|owner| (*owner, "traffic light 0.93", Color::WHITE)).collect();
        let placed = place(&wanted, &font, 640.0, 480.0);
        assert_eq!(placed.len(), 40);
        for (n, label) in placed.iter().enumerate() {
            let rect = &label.rect;
            assert!(
                rect.left() >= 0.0 && rect.top() >= 0.0 && rect.right() <= 640.0 && rect.bottom() <= 480.0
            );
            assert!(placed[..n].iter().all(|other| shared(rect, &other.rect) == 0.0), "{n}");
        }
    }

    #[test]
    fn more_labels_than_room() {
        let font = Font::new(14.0);
        let owner = Rect::from_xywh(0.0, 0.0, 60.0, 40.0).unwrap();
        let placed = place(&[(owner, "person", Color::WHITE); 30], &font, 100.0, 60.0);
        assert_eq!(placed.len(), 30);
        assert!(placed.iter().all(|label| label.rect.right() <= 100.0 && label.rect.bottom() <= 60.0));
    }

    #[test]
    fn nothing_to_say() {
        let owner = Rect::from_xywh(0.0, 0.0, 60.0, 40.0).unwrap();
        assert!(place(&[(owner, "  ", Color::WHITE)], &Font::new(14.0), 100.0, 60.0).is_empty());
    }
}
