//! What a part of a picture shows when it is pointed at.

/// A rectangle of a picture and what it shows, in pixels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HoverArea {
    pub(crate) x: i32,
    pub(crate) y: i32,
    pub(crate) width: i32,
    pub(crate) height: i32,
    pub(crate) text: String,
}
