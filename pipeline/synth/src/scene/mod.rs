//! Scenes: which objects a picture shows, where, and what is true of them.

mod arrange;
mod facts;

pub(crate) use arrange::Wanted;

use crate::Error;
use crate::chance::{Chance, Stream};
use crate::drawing::{self, Drawing};
use crate::world::{Rule, World};

/// A picture's content, as far as anybody speaks of it.
#[derive(Debug, Clone)]
pub(crate) struct Scene {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) place: usize,
    /// Where the ground begins, as a share of the height.
    pub(crate) horizon: f32,
    /// In the order in which they are drawn.
    pub(crate) objects: Vec<Object>,
}

/// One object; the numbers are indices into the world's lists.
#[derive(Debug, Clone)]
pub(crate) struct Object {
    pub(crate) kind: usize,
    pub(crate) colour: usize,
    pub(crate) size: usize,
    pub(crate) texture: usize,
    pub(crate) pose: Pose,
    /// This object is on or inside another, or held by it.
    pub(crate) base: Option<(Rule, usize)>,
    /// Left, top, right, bottom of what is to be seen of it, in pixels.
    pub(crate) rect: [u32; 4],
    /// Pixels that are to be seen of it.
    pub(crate) area: u32,
}

/// How a drawing lies in the picture.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pose {
    pub(crate) centre: [f32; 2],
    /// Pixels of the longer side before it is turned.
    pub(crate) side: f32,
    /// Radians.
    pub(crate) turn: f32,
    pub(crate) flipped: bool,
}

/// Attempts at one scene before the world is called too crowded.
const ATTEMPTS: u64 = 200;
/// Of an object at least so much is to be seen; of one that others are inside of, less.
const SEEN: f32 = 0.62;
const SEEN_BASE: f32 = 0.3;

impl Scene {
    /// Arranges and draws the scene number `index` under `seed`.
    ///
    /// # Errors
    /// [`Error::Crowded`] where the wanted objects do not find room.
    pub(crate) fn draw(
        world: &World,
        wanted: &Wanted<'_>,
        seed: u64,
        index: u64,
    ) -> Result<(Scene, Drawing), Error> {
        for attempt in 0..ATTEMPTS {
            let mut chance = Chance::new(seed, Stream::Scene, index << 8 | attempt);
            let Some(mut scene) = arrange::arrange(world, wanted, &mut chance) else { continue };
            let mut pixels = Chance::new(seed, Stream::Pixels, index);
            let drawing = drawing::draw(world, &scene, &mut pixels);
            if scene.adopt(&drawing) {
                return Ok((scene, drawing));
            }
        }
        Err(Error::Crowded { attempts: ATTEMPTS, what: format!("picture {index}") })
    }

    /// Takes over what is to be seen of the objects; `false` if it is too little of one.
    fn adopt(&mut self, drawing: &Drawing) -> bool {
        for at in 0..self.objects.len() {
            let is_base = self.objects.iter().any(|other| other.base.is_some_and(|(_, base)| base == at));
            let seen = &drawing.seen[at];
            let least = if is_base { SEEN_BASE } else { SEEN };
            if (seen.area as f32) < least * seen.whole as f32 {
                return false;
            }
            self.objects[at].rect = seen.rect;
            self.objects[at].area = seen.area;
        }
        true
    }
}
