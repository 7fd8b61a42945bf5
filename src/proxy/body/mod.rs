//! Bodies: a request's on its way in ([`Inbound`]), an answer's on its way out ([`Body`]).

mod answer;
mod carried;
mod inbound;

pub use self::{
    answer::Body,
    carried::Carried,
    inbound::{Broken, Hold, Inbound, Places, Unheld},
};
