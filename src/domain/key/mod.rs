//! API keys: how they look, what proves them, what they hold, how they live.

pub mod grant;
pub mod secret;
pub mod signing;
pub mod standing;
pub mod state;
pub mod token;
