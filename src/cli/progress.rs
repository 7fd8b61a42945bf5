//! Progress bars: on a terminal alone, on stderr.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often a bar is drawn, per second.
const HERTZ: u8 = 10;

/// For work whose end is known, in bytes.
pub(crate) fn bytes(length: u64) -> ProgressBar {
    styled(
        ProgressBar::with_draw_target(Some(length), target()),
        "{bar:40} {bytes}/{total_bytes} {msg} ({eta} left)",
    )
}

/// For work whose end is not known.
pub(crate) fn counting(what: &'static str) -> ProgressBar {
    styled(ProgressBar::with_draw_target(None, target()), "{spinner} {human_pos} {msg}").with_message(what)
}

/// Hidden where stderr is no terminal; indicatif sees to that.
fn target() -> ProgressDrawTarget {
    ProgressDrawTarget::stderr_with_hz(HERTZ)
}

fn styled(bar: ProgressBar, template: &str) -> ProgressBar {
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        // A bar in another style is better than none.
        Err(_) => bar,
    }
}
