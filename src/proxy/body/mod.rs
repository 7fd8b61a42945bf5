//! Bodies: a request's on its way in ([`Inbound`]), an answer's on its way out ([`Body`]).

mod answer;
mod inbound;

pub use self::{
    answer::Body,
    inbound::{Broken, Hold, Inbound, Places, Unheld},
};
