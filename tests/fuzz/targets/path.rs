//! The normal form of a path: what is matched is what is forwarded, and no backend reads it otherwise (SECURITY 95-120).

use latchgate::proxy::path::normal_form;

pub(super) fn run(data: &[u8]) {
    let Ok(path) = std::str::from_utf8(data) else { return };
    let Ok(form) = normal_form(path) else { return };
    assert_eq!(normal_form(&form).as_deref(), Ok(&*form), "twice is once");
    assert_eq!(decoded(&form), decoded(path), "the same resource");
    assert!(form.is_ascii() && form.starts_with('/') && !form.contains("//"), "{form}");
    // Whichever way a backend reads it: once decoded, twice decoded, backslashes as slashes, parameters cut off.
    for reading in [form.to_string(), text(&decoded(&form)), text(&decoded(&form)).replace('\\', "/")] {
        for segment in reading.split('/') {
            let bare = segment.split(';').next().unwrap_or_default();
            assert!(!matches!(bare, "." | ".."), "{form} has the dot segment {segment}");
        }
        assert!(
            !reading.contains(['#', '?', '\0', '\r', '\n', '\t']) || !form.contains(['#', '?']),
            "{form}"
        );
    }
    let slashes = |text: &[u8]| text.iter().filter(|byte| matches!(byte, b'/' | b'\\')).count();
    assert_eq!(slashes(&decoded(&form)), slashes(form.as_bytes()), "{form} hides a separator");
    assert!(!decoded(&form).iter().any(u8::is_ascii_control), "{form} hides a control character");
}

fn decoded(path: &str) -> Vec<u8> {
    let (bytes, mut plain, mut at) = (path.as_bytes(), Vec::new(), 0);
    while let Some(&byte) = bytes.get(at) {
        let code = bytes.get(at + 1..at + 3).and_then(|digits| std::str::from_utf8(digits).ok());
        match code.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(code) if byte == b'%' => {
                plain.push(code);
                at += 3;
            }
            _ => {
                plain.push(byte);
                at += 1;
            }
        }
    }
    plain
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
