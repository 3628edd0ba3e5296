//! Where objects go: kinds and attributes first, then places, the large ones before the small.

use super::{Object, Pose, Scene};
use crate::chance::Chance;
use crate::world::{Rule, World};

/// What a scene is to show.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted<'a> {
    /// Kinds that may occur.
    pub(crate) kinds: &'a [usize],
    /// Kinds that must, as often as they stand here.
    pub(crate) must: Vec<usize>,
}

/// Objects that stay together: one, or a base and what belongs to it.
struct Unit {
    base: Object,
    subject: Option<(Rule, Object)>,
    needed: bool,
}

/// Shares of scenes with a drawn relation, with several of one kind, and with objects that hide others.
const RELATED: f32 = 0.65;
const REPEATED: f32 = 0.6;
const OVERLAPPING: f32 = 0.4;
/// Of several of a kind, so many have the first one's colour.
const ALIKE: f32 = 0.45;
const TRIES: u32 = 80;
/// Pixels between objects that do not overlap, and to the border.
const GAP: f32 = 3.0;

pub(super) fn arrange(world: &World, wanted: &Wanted<'_>, chance: &mut Chance) -> Option<Scene> {
    let (width, height) = (chance.whole(world.picture.width), chance.whole(world.picture.height));
    let place = chance.below(world.places.len());
    let horizon = chance.between([0.45, 0.7]);
    let mut units = units(world, wanted, chance);
    units.sort_by(|a, b| b.base.pose.side.total_cmp(&a.base.pose.side));
    let overlap = if chance.happens(OVERLAPPING) { world.picture.overlap } else { 0.0 };

    let mut taken: Vec<[f32; 4]> = Vec::new();
    let mut placed: Vec<Unit> = Vec::new();
    for mut unit in units {
        let offset = subject_offset(world, &unit, chance);
        let around = unit_rect(world, &unit, offset);
        let room = [width as f32 - GAP - around[2], height as f32 - GAP - around[3]];
        let least = [GAP - around[0], GAP - around[1]];
        let found = (room[0] > least[0] && room[1] > least[1]).then(|| {
            (0..TRIES).find_map(|_| {
                let at = [chance.between([least[0], room[0]]), chance.between([least[1], room[1]])];
                let rect = moved(around, at);
                let free = taken.iter().all(|other| hidden_share(rect, *other) <= overlap);
                free.then_some((at, rect))
            })
        });
        let Some((at, rect)) = found.flatten() else {
            if unit.needed {
                return None;
            }
            continue;
        };
        unit.base.pose.centre = at;
        if let Some((_, subject)) = &mut unit.subject {
            subject.pose.centre = [at[0] + offset[0], at[1] + offset[1]];
        }
        taken.push(rect);
        placed.push(unit);
    }
    chance.shuffle(&mut placed);
    let mut objects = Vec::new();
    for unit in placed {
        objects.push(unit.base);
        if let Some((rule, mut subject)) = unit.subject {
            subject.base = Some((rule, objects.len() - 1));
            objects.push(subject);
        }
    }
    Some(Scene { width, height, place, horizon, objects })
}

/// Kinds and attributes of everything that may come.
fn units(world: &World, wanted: &Wanted<'_>, chance: &mut Chance) -> Vec<Unit> {
    let count = chance.whole(world.picture.objects) as usize;
    let mut units: Vec<Unit> = Vec::new();
    let mut must = wanted.must.clone();
    if chance.happens(RELATED)
        && let Some((rule, base)) = base_kind(world, wanted, chance)
    {
        let able: Vec<usize> =
            wanted.kinds.iter().copied().filter(|&kind| !is_base(world, kind) && kind != base).collect();
        let needed_one = must.iter().position(|&kind| !is_base(world, kind)).filter(|_| chance.happens(0.5));
        let (kind, needed) = match needed_one {
            Some(at) => (must.remove(at), true),
            None if able.is_empty() => (base, false),
            None => (*chance.pick(&able), false),
        };
        if kind != base {
            let base_needed = must.iter().position(|&kind| kind == base).map(|at| must.remove(at)).is_some();
            let base = object(world, base, Some(world.sizes.len() - 1), 0.0, chance);
            let subject = object(world, kind, Some(0), turn(world, kind, chance), chance);
            units.push(Unit { base, subject: Some((rule, subject)), needed: needed || base_needed });
        }
    }
    for kind in must {
        units.push(alone(world, kind, true, chance));
    }
    if chance.happens(REPEATED) {
        let kind = *chance.pick(wanted.kinds);
        let first = alone(world, kind, false, chance);
        let more = chance.whole([1, 3]);
        let look = (first.base.colour, first.base.texture);
        units.push(first);
        for _ in 0..more {
            let mut next = alone(world, kind, false, chance);
            if chance.happens(ALIKE) {
                (next.base.colour, next.base.texture) = look;
            }
            units.push(next);
        }
    }
    let used =
        |units: &[Unit]| units.iter().map(|unit| 1 + usize::from(unit.subject.is_some())).sum::<usize>();
    let known = |units: &[Unit], kind: usize| {
        units.iter().any(|unit| {
            unit.base.kind == kind || unit.subject.as_ref().is_some_and(|(_, subject)| subject.kind == kind)
        })
    };
    // Other kinds, each once: what there is one of can be asked about.
    for _ in 0..2 * count {
        if used(&units) >= count {
            break;
        }
        let kind = *chance.pick(wanted.kinds);
        if !known(&units, kind) {
            units.push(alone(world, kind, false, chance));
        }
    }
    units
}

fn alone(world: &World, kind: usize, needed: bool, chance: &mut Chance) -> Unit {
    let turn = turn(world, kind, chance);
    Unit { base: object(world, kind, None, turn, chance), subject: None, needed }
}

fn object(world: &World, kind: usize, size: Option<usize>, turn: f32, chance: &mut Chance) -> Object {
    let size = size.unwrap_or_else(|| chance.below(world.sizes.len()));
    let weights: Vec<f32> = world.textures.iter().map(|texture| texture.weight).collect();
    let pose = Pose {
        centre: [0.0; 2],
        side: chance.between(world.sizes[size].side),
        turn,
        flipped: chance.happens(0.5),
    };
    let (colour, texture) = (chance.below(world.colours.len()), chance.weighted(&weights));
    Object { kind, colour, size, texture, pose, base: None, rect: [0; 4], area: 0 }
}

fn turn(world: &World, kind: usize, chance: &mut Chance) -> f32 {
    let most = world.kinds[kind].turn;
    chance.between([-most, most]).to_radians()
}

fn is_base(world: &World, kind: usize) -> bool {
    let kind = &world.kinds[kind];
    kind.top.is_some() || kind.inside.is_some() || kind.hand.is_some()
}

/// A relation that is to be drawn, and the kind that it needs.
fn base_kind(world: &World, wanted: &Wanted<'_>, chance: &mut Chance) -> Option<(Rule, usize)> {
    let able = |rule: Rule, kind: usize| {
        let kind = &world.kinds[kind];
        match rule {
            Rule::On => kind.top.is_some(),
            Rule::Inside => kind.inside.is_some(),
            Rule::Holding => kind.hand.is_some(),
            _ => false,
        }
    };
    let rules = world.relations.iter().map(|relation| relation.rule).filter(|rule| !rule.is_direction());
    let pairs: Vec<(Rule, Vec<usize>)> = rules
        .map(|rule| (rule, wanted.kinds.iter().copied().filter(|&kind| able(rule, kind)).collect::<Vec<_>>()))
        .filter(|(_, kinds)| !kinds.is_empty())
        .collect();
    if pairs.is_empty() {
        return None;
    }
    let (rule, kinds) = chance.pick(&pairs);
    Some((*rule, *chance.pick(kinds)))
}

/// Where the subject's centre lies from the base's.
fn subject_offset(world: &World, unit: &Unit, chance: &mut Chance) -> [f32; 2] {
    let Some((rule, subject)) = &unit.subject else { return [0.0; 2] };
    let kind = &world.kinds[unit.base.kind];
    let extent = kind.extent();
    let scale = unit.base.pose.side / (extent[2] - extent[0]).max(extent[3] - extent[1]);
    let turned = if unit.base.pose.flipped { -1.0 } else { 1.0 };
    let place = |[x, y]: [f32; 2]| {
        [(x - (extent[0] + extent[2]) / 2.0) * scale * turned, (y - (extent[1] + extent[3]) / 2.0) * scale]
    };
    let own = object_rect(world, subject);
    match rule {
        Rule::On => {
            let [x0, x1, y] = kind.top.expect("the kind was chosen for its top");
            let (left, right) = (place([x0, y]), place([x1, y]));
            let (low, high) = (left[0].min(right[0]) - own[0], left[0].max(right[0]) - own[2]);
            [if high > low { chance.between([low, high]) } else { 0.0 }, left[1] - own[3] + 1.5]
        }
        Rule::Inside => {
            let [x0, y0, x1, y1] = kind.inside.expect("the kind was chosen for its room");
            let (a, b) = (place([x0, y0]), place([x1, y1]));
            let (low, high) = (a[0].min(b[0]) - own[0], a[0].max(b[0]) - own[2]);
            let x = if high > low { chance.between([low, high]) } else { (low + high) / 2.0 };
            [x, (b[1] - own[3]).max((a[1] + b[1]) / 2.0 - (own[1] + own[3]) / 2.0 - 200.0)]
        }
        _ => {
            let hand = place(kind.hand.expect("the kind was chosen for its hand"));
            // A little outwards, so that the body stays in sight.
            [hand[0] + turned * (own[2] - own[0]) * 0.3, hand[1]]
        }
    }
}

/// Around an object whose centre is the origin.
fn object_rect(world: &World, object: &Object) -> [f32; 4] {
    let extent = world.kinds[object.kind].extent();
    let (wide, high) = (extent[2] - extent[0], extent[3] - extent[1]);
    let scale = object.pose.side / wide.max(high) / 2.0;
    let (sin, cos) = (libm::sinf(object.pose.turn).abs(), libm::cosf(object.pose.turn).abs());
    let (x, y) = ((wide * cos + high * sin) * scale, (wide * sin + high * cos) * scale);
    [-x, -y, x, y]
}

fn unit_rect(world: &World, unit: &Unit, offset: [f32; 2]) -> [f32; 4] {
    let base = object_rect(world, &unit.base);
    let Some((_, subject)) = &unit.subject else { return base };
    let own = moved(object_rect(world, subject), offset);
    [base[0].min(own[0]), base[1].min(own[1]), base[2].max(own[2]), base[3].max(own[3])]
}

fn moved(rect: [f32; 4], by: [f32; 2]) -> [f32; 4] {
    [rect[0] + by[0], rect[1] + by[1], rect[2] + by[0], rect[3] + by[1]]
}

/// The share that two boxes have in common of the smaller one; a gap between them is asked for as well.
fn hidden_share(a: [f32; 4], b: [f32; 4]) -> f32 {
    let across = a[2].min(b[2]) - a[0].max(b[0]) + GAP;
    let down = a[3].min(b[3]) - a[1].max(b[1]) + GAP;
    let area = |rect: [f32; 4]| (rect[2] - rect[0]) * (rect[3] - rect[1]);
    across.max(0.0) * down.max(0.0) / area(a).min(area(b))
}
