//! Whose a client's certificate is, as text that a header can hold (RFC 4514).

use std::fmt::Write as _;

use x509_parser::{
    asn1_rs::{Any, ToDer},
    certificate::X509Certificate,
    prelude::FromDer,
    x509::{AttributeTypeAndValue, X509Name},
};

/// The subject, its most specific part first: `CN=ci,OU=Build,O=Acme`. None without a subject, or where it is none that
/// anybody could mean.
///
/// All of it is printable ASCII: what is not stands as `\` and two hexadecimal digits for each byte of its UTF-8 (RFC 4514
/// section 2.4), so that nothing in it ends a header, and two names that differ never look alike.
pub(super) fn subject(certificate: &[u8]) -> Option<String> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let text = text(parsed.subject())?;
    (!text.is_empty() && text.len() <= LONGEST).then_some(text)
}

fn text(name: &X509Name<'_>) -> Option<String> {
    let mut text = String::new();
    let parts: Vec<_> = name.iter_rdn().collect();
    for (index, part) in parts.into_iter().rev().enumerate() {
        if index > 0 {
            text.push(',');
        }
        for (index, attribute) in part.iter().enumerate() {
            if index > 0 {
                text.push('+');
            }
            write_attribute(&mut text, attribute)?;
        }
    }
    Some(text)
}

fn write_attribute(text: &mut String, attribute: &AttributeTypeAndValue<'_>) -> Option<()> {
    let oid = attribute.attr_type().to_id_string();
    let short = SHORT.iter().find(|(_, known)| *known == oid).map(|(short, _)| *short);
    let value = attribute.attr_value();
    match (short, characters(value)) {
        (Some(short), Some(value)) => {
            write!(text, "{short}=").ok()?;
            write_escaped(text, &value);
        }
        // What has no short name, and what is no text, stands as its bytes (sections 2.3 and 2.4).
        (short, _) => {
            write!(text, "{}=#", short.unwrap_or(&oid)).ok()?;
            for byte in value.to_der_vec().ok()? {
                write!(text, "{byte:02x}").ok()?;
            }
        }
    }
    Some(())
}

/// The characters of a string, whichever of the kinds of RFC 5280 section 4.1.2.4 it is.
fn characters(value: &Any<'_>) -> Option<String> {
    const UTF8: u32 = 12;
    const PRINTABLE: u32 = 19;
    const TELETEX: u32 = 20;
    const IA5: u32 = 22;
    const UNIVERSAL: u32 = 28;
    const BMP: u32 = 30;
    let bytes = value.data;
    match value.tag().0 {
        UTF8 | PRINTABLE | IA5 => str::from_utf8(bytes).ok().map(str::to_owned),
        // Everybody who writes it writes Latin-1.
        TELETEX => Some(bytes.iter().map(|byte| char::from(*byte)).collect()),
        BMP => {
            let units = bytes.chunks(2).map(|pair| Some(u16::from_be_bytes(pair.try_into().ok()?)));
            String::from_utf16(&units.collect::<Option<Vec<_>>>()?).ok()
        }
        UNIVERSAL => {
            let points =
                bytes.chunks(4).map(|four| char::from_u32(u32::from_be_bytes(four.try_into().ok()?)));
            points.collect()
        }
        _ => None,
    }
}

fn write_escaped(text: &mut String, value: &str) {
    let last = value.len().saturating_sub(1);
    for (place, byte) in value.bytes().enumerate() {
        let at_an_end = (byte == b' ' && (place == 0 || place == last)) || (byte == b'#' && place == 0);
        if at_an_end || br#"",+;<>\"#.contains(&byte) {
            text.push('\\');
            text.push(char::from(byte));
        } else if (b' '..=b'~').contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "\\{byte:02X}");
        }
    }
}

/// RFC 4514 section 3.
const SHORT: [(&str, &str); 9] = [
    ("CN", "2.5.4.3"),
    ("L", "2.5.4.7"),
    ("ST", "2.5.4.8"),
    ("O", "2.5.4.10"),
    ("OU", "2.5.4.11"),
    ("C", "2.5.4.6"),
    ("STREET", "2.5.4.9"),
    ("DC", "0.9.2342.19200300.100.1.25"),
    ("UID", "0.9.2342.19200300.100.1.1"),
];

/// In bytes: with more, upstreams refuse the request for its headers.
const LONGEST: usize = 4096;

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, DnValue, KeyPair, string::BmpString};

    use super::*;

    fn of(parts: Vec<(DnType, DnValue)>) -> Option<String> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        for (kind, value) in parts {
            params.distinguished_name.push(kind, value);
        }
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        subject(certificate.der())
    }

    fn named(name: &str) -> String {
        of(vec![(DnType::CommonName, DnValue::Utf8String(name.to_owned()))]).unwrap_or_default()
    }

    #[test]
    fn the_most_specific_part_comes_first() {
        let parts = vec![
            (DnType::CountryName, "SE".into()),
            (DnType::OrganizationName, "Acme".into()),
            (DnType::OrganizationalUnitName, "Build".into()),
            (DnType::CommonName, "ci".into()),
        ];
        assert_eq!(of(parts).as_deref(), Some("CN=ci,OU=Build,O=Acme,C=SE"));
        let odd = vec![
            (DnType::CustomDnType(vec![1, 2, 840, 113_549, 1, 9, 1]), "a@b".into()),
            (DnType::CommonName, DnValue::BmpString(BmpString::try_from("ü").unwrap())),
        ];
        assert_eq!(of(odd).as_deref(), Some("CN=\\C3\\BC,1.2.840.113549.1.9.1=#0c03614062"));
    }

    #[test]
    fn nothing_in_a_name_ends_a_header_or_looks_like_another_part() {
        for (name, expected) in [
            ("ci", "CN=ci"),
            ("a,O=Acme", "CN=a\\,O=Acme"),
            ("a+b;c<d>e\"f\\g", "CN=a\\+b\\;c\\<d\\>e\\\"f\\\\g"),
            (" a b ", "CN=\\ a b\\ "),
            ("#a#", "CN=\\#a#"),
            ("a\r\nX-Evil: 1", "CN=a\\0D\\0AX-Evil: 1"),
            ("a\0b", "CN=a\\00b"),
            ("é", "CN=\\C3\\A9"),
            ("\u{7f}", "CN=\\7F"),
        ] {
            assert_eq!(named(name), expected);
            assert!(named(name).bytes().all(|byte| (b' '..=b'~').contains(&byte)));
        }
    }

    #[test]
    fn who_is_nobody_or_endless_has_no_name() {
        assert_eq!(of(Vec::new()), None);
        assert_eq!(named(&"a".repeat(LONGEST)), "");
        assert_eq!(subject(b""), None);
        assert_eq!(subject(b"\x30\x80"), None);
    }
}
